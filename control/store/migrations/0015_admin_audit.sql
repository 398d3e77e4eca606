-- Who changed what: what was done with the API, by backups and by saved rule files, in the transaction of the change itself.
CREATE TABLE admin_entry (
    id      uuid PRIMARY KEY,            -- made of the time, so a newer one is larger
    at      timestamptz NOT NULL,
    request text NOT NULL,               -- all entries of one request have its id
    actor   text NOT NULL,               -- the id of a key; `environment`, `control` or `host`
    role    text NOT NULL,
    address text NOT NULL,
    action  text NOT NULL,               -- such as tenants.create
    object  text NOT NULL,
    tenant  text,
    outcome text NOT NULL,               -- done, or why not
    before  jsonb NOT NULL,              -- of what was changed alone, and no secrets
    after   jsonb NOT NULL
);
CREATE INDEX admin_entry_by_tenant ON admin_entry (tenant, id);
CREATE INDEX admin_entry_by_object ON admin_entry (object, id);
CREATE INDEX admin_entry_by_actor ON admin_entry (actor, id);
