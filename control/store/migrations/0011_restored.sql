-- A row: this database may be older than what proxies know. Nothing is served until its keys were compared with theirs, or an operator accepts them.
CREATE TABLE restored (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    since timestamptz NOT NULL DEFAULT now()
);
