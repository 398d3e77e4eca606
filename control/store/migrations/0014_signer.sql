-- Proxies whose records were signed: what comes in their names and is not was made by somebody else.
CREATE TABLE signer (
    worker text PRIMARY KEY,
    since  timestamptz NOT NULL DEFAULT now()
);
