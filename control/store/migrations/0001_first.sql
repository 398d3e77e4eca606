-- Tenants, their keys, and what a proxy must know of them.

CREATE TABLE pepper (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    wrapped text NOT NULL                       -- Fernet under the master key; also what tells a wrong master key at start
);

CREATE TABLE tenant (
    id         text PRIMARY KEY CHECK (id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    preset     text NOT NULL,
    prompt_key text NOT NULL,                   -- wrapped; the HMAC key of this tenant's prompt hashes
    created    timestamptz NOT NULL DEFAULT now(),
    deleted    timestamptz                      -- a deleted tenant's audit stays
);

CREATE TABLE api_key (
    id        text PRIMARY KEY,
    tenant    text NOT NULL REFERENCES tenant,
    digest    text NOT NULL,                    -- HMAC-SHA256(pepper, secret); the secret itself is nowhere
    created   timestamptz NOT NULL DEFAULT now(),
    not_after timestamptz
);
CREATE INDEX api_key_tenant ON api_key (tenant);

-- The version of what proxies are served: rises in the transaction of every change, never falls.
CREATE TABLE snapshot (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    version bigint NOT NULL,
    rules   text NOT NULL                       -- hash of the rule sources served with it
);
INSERT INTO snapshot (version, rules) VALUES (1, '');

-- The audit. A record is kept as it was written (`record`, canonical JSON); columns beside it are for finding it.
-- A completion carries its decision's id, whose day names the partition of both.
CREATE TABLE decision (
    day        date NOT NULL,
    id         uuid NOT NULL,
    tenant     text NOT NULL,
    time       timestamptz NOT NULL,
    action     text NOT NULL,
    record     bytea NOT NULL,
    PRIMARY KEY (day, id)
) PARTITION BY RANGE (day);
CREATE INDEX decision_tenant ON decision (tenant, day DESC, id DESC);
CREATE INDEX decision_action ON decision (action, day DESC, id DESC);

CREATE TABLE completion (
    day    date NOT NULL,
    id     uuid NOT NULL,
    tenant text NOT NULL,
    record bytea NOT NULL,
    PRIMARY KEY (day, id)
) PARTITION BY RANGE (day);

-- What could not be understood is kept, never dropped.
CREATE TABLE quarantine (
    entry    text PRIMARY KEY,                  -- its id in the Redis stream
    arrived  timestamptz NOT NULL DEFAULT now(),
    reason   text NOT NULL,
    payload  bytea NOT NULL
);

-- Which records of each spool are stored; a proxy deletes from its disk only what lies below the first gap.
CREATE TABLE watermark (
    worker text NOT NULL,
    boot   text NOT NULL,
    stored int8multirange NOT NULL,
    PRIMARY KEY (worker, boot)
);
