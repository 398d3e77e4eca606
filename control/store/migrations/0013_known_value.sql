-- Values that are looked for as they are: keys, host names, numbers of customers.
CREATE TABLE known_value (
    tenant   text NOT NULL REFERENCES tenant,
    name     text NOT NULL,                     -- by which audit and placeholders speak of it
    value    text NOT NULL,                     -- wrapped
    any_case boolean NOT NULL DEFAULT false,
    created  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, name)
);
