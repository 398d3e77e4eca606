-- What people say of a rule's finding in an exchange: that it was right to fire, or not.
CREATE TABLE mark (
    decision uuid NOT NULL,
    rule     text NOT NULL,
    tenant   text NOT NULL,
    verdict  text NOT NULL CHECK (verdict IN ('false_positive', 'true_positive')),
    note     text NOT NULL CHECK (length(note) <= 200),
    actor    text NOT NULL,               -- as in admin_entry
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (decision, rule)
);
CREATE INDEX mark_by_tenant ON mark (tenant, rule);
