-- Whether a record had its proxy's MAC; null: it came before this was noted, or from a file.
ALTER TABLE decision ADD COLUMN signed boolean;
ALTER TABLE quarantine ADD COLUMN signed boolean NOT NULL DEFAULT false;
-- When the users of a key heard that it ends.
ALTER TABLE api_key ADD COLUMN end_told timestamptz;
