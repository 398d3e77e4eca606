-- Where a tenant's decisions are told, what waits to be told, and what became of it.
CREATE TABLE webhook (
    id              text PRIMARY KEY,
    tenant          text NOT NULL REFERENCES tenant,
    url             text NOT NULL,
    statuses        text[] NOT NULL,                 -- of decisions that are told
    secret          text NOT NULL,                   -- wrapped; signs every delivery
    previous_secret text,                            -- wrapped; signs beside it until `previous_until`
    previous_until  timestamptz,
    created         timestamptz NOT NULL DEFAULT now(),
    disabled        text,                            -- why nothing is sent there any more; null: it is sent
    failures        integer NOT NULL DEFAULT 0,      -- in a row
    not_before      timestamptz NOT NULL DEFAULT now() -- after failures nothing is tried until then
);
CREATE INDEX webhook_tenant ON webhook (tenant);

-- One delivery is one signed message, sent until it is taken or too old. `body` is what is signed.
CREATE TABLE delivery (
    id       uuid PRIMARY KEY,
    webhook  text NOT NULL REFERENCES webhook ON DELETE CASCADE,
    created  timestamptz NOT NULL DEFAULT now(),
    events   integer NOT NULL,
    body     bytea NOT NULL,
    state    text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    due      timestamptz NOT NULL DEFAULT now(),
    status   integer,                                -- of the last answer
    error    text,                                   -- of the last attempt
    took_ms  integer,
    ended    timestamptz
);
CREATE INDEX delivery_waiting ON delivery (webhook, due) WHERE state = 'waiting';
CREATE INDEX delivery_log ON delivery (webhook, id DESC);

CREATE TABLE webhook_event (
    webhook  text NOT NULL REFERENCES webhook ON DELETE CASCADE,
    seq      bigint GENERATED ALWAYS AS IDENTITY,
    at       timestamptz NOT NULL DEFAULT now(),
    decision uuid NOT NULL,
    event    text NOT NULL,                          -- JSON
    delivery uuid REFERENCES delivery ON DELETE CASCADE,
    PRIMARY KEY (webhook, seq)
);
CREATE INDEX webhook_event_waiting ON webhook_event (webhook, seq) WHERE delivery IS NULL;
CREATE INDEX webhook_event_decision ON webhook_event (decision);
CREATE INDEX webhook_event_delivery ON webhook_event (delivery);

ALTER TABLE tenant
    ADD COLUMN retention_days     integer CHECK (retention_days > 0),      -- null: AUDIT_RETENTION_DAYS
    ADD COLUMN max_tokens_per_day bigint CHECK (max_tokens_per_day > 0);   -- null: no limit
