-- What each proxy process last told of itself.
CREATE TABLE proxy (
    worker text PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT now(),
    report jsonb NOT NULL
);
