-- Searches of the audit that people keep under a name. `owner`: a person by the provider's id, or the id of a key; `scope`: the tenants
-- that its owner sees, empty for all; shared ones are seen by whoever has the same.
CREATE TABLE saved_view (
    id      text PRIMARY KEY,
    owner   text NOT NULL,
    scope   text NOT NULL,
    name    text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    query   text NOT NULL CHECK (length(query) <= 2000),
    shared  boolean NOT NULL,
    created timestamptz NOT NULL DEFAULT now(),
    UNIQUE (owner, name)
);
CREATE INDEX saved_view_by_scope ON saved_view (scope) WHERE shared;
