-- What was answered to a write that named itself by an Idempotency-Key, so that a second one is answered alike and done once.
CREATE TABLE answered (
    scope   text NOT NULL,                        -- a role, or a tenant's id
    key     text NOT NULL,
    asked   bytea NOT NULL,                       -- SHA-256 of method, path and body
    status  integer NOT NULL,
    body    text NOT NULL,                        -- wrapped: it may hold a secret that is shown once
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, key)
);
CREATE INDEX answered_at ON answered (at);
