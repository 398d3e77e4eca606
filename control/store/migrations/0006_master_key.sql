-- One data key opens every stored secret; here it lies once for each master key that opens it: one, or two while the master key is rotated.
CREATE TABLE master_key (
    id         text PRIMARY KEY,                -- derived from the master key; tells which one it is, and nothing of it
    generation integer NOT NULL UNIQUE,
    wrapped    text NOT NULL,                   -- the data key under this master key; also what tells a wrong one at start
    token      text,                            -- of one that is being left: how its proxies show themselves,
    seal       text,                            -- and what their snapshot is sealed with; both under the data key
    added      timestamptz NOT NULL DEFAULT now()
);

-- Keys of no tenant: further admins, and those that only read metrics. When a key was last used.
ALTER TABLE api_key
    ALTER COLUMN tenant DROP NOT NULL,
    ADD COLUMN role      text NOT NULL DEFAULT 'tenant' CHECK (role IN ('tenant', 'admin', 'metrics')),
    ADD COLUMN name      text NOT NULL DEFAULT '' CHECK (length(name) <= 200),
    ADD COLUMN last_used timestamptz,
    ADD CONSTRAINT api_key_owner CHECK ((role = 'tenant') = (tenant IS NOT NULL));
