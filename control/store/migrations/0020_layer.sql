-- Rules that admins keep here, beside files: every version of every layer. The newest of a layer is the one in force.
CREATE TABLE layer_version (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    layer   text NOT NULL,               -- the name of its rule source
    tenant  text REFERENCES tenant (id), -- whose; none where it is everybody's
    version integer NOT NULL CHECK (version > 0),
    text    text NOT NULL,               -- empty: it says nothing, and is no source
    reason  text NOT NULL CHECK (length(reason) <= 200),
    actor   text NOT NULL,               -- as in admin_entry
    at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (layer, version)
);
CREATE INDEX layer_version_by_tenant ON layer_version (tenant);
