-- More roles; a key of some may be bound to tenants, which stand in `bound_to` (null: to none, and so it is for all).
ALTER TABLE api_key
    -- squawk-ignore ban-drop-constraint
    DROP CONSTRAINT api_key_role_check,
    ADD COLUMN bound_to text[],
    ADD CONSTRAINT api_key_role_check CHECK (role IN ('tenant', 'admin', 'operator', 'auditor', 'auditor+prompts', 'metrics')) NOT VALID,
    ADD CONSTRAINT api_key_bound CHECK (bound_to IS NULL OR (role IN ('operator', 'auditor', 'auditor+prompts') AND cardinality(bound_to) > 0)) NOT VALID;
