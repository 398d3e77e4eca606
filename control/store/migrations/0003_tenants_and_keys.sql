-- A tenant's own limit and labels; a key's history.
ALTER TABLE tenant
    ADD COLUMN max_requests_per_minute integer CHECK (max_requests_per_minute > 0),   -- null: RATE_LIMIT_DEFAULT_RPM
    ADD COLUMN labels jsonb NOT NULL DEFAULT '{}';
ALTER TABLE api_key ADD COLUMN replaced_by text REFERENCES api_key;                   -- by rotation; the old one ends at not_after
