-- A kept prompt stands beside its record, so that pages of records do not carry it. What waits is found by its age. Sums cannot overflow.
ALTER TABLE decision ADD COLUMN prompt text;
CREATE INDEX webhook_event_old ON webhook_event (at) WHERE delivery IS NULL;
CREATE INDEX quarantine_arrived ON quarantine (arrived);
ALTER TABLE tally ALTER COLUMN value TYPE numeric(30);
ALTER TABLE answered ALTER COLUMN body DROP NOT NULL;   -- null: begun, and perhaps done
