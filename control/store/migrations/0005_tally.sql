-- What metrics count, kept in the transaction that stores the records: never more and never less than the audit holds.
CREATE TABLE tally (
    name   text NOT NULL,
    labels text[] NOT NULL,
    value  bigint NOT NULL,
    PRIMARY KEY (name, labels)
);
ALTER TABLE completion ADD COLUMN added_ms real;    -- what Earthflow itself took, before the call went on
CREATE INDEX decision_time ON decision USING brin (time);
