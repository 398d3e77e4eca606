-- The roots that clients trust. A root whose key is offline has none here.
CREATE TABLE authority (
    sha256      text PRIMARY KEY,               -- of its certificate
    generation  integer NOT NULL UNIQUE,
    certificate text NOT NULL,                  -- PEM
    certified   text,                           -- PEM: its key and name, certified by the root before it
    key         text,                           -- wrapped
    added       timestamptz NOT NULL DEFAULT now(),
    retired     timestamptz                     -- from here on clients need not trust it
);
