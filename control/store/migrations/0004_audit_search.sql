-- What the audit is searched and counted by; the record itself stays as it was written.
ALTER TABLE decision
    ADD COLUMN reason   text,
    ADD COLUMN provider text,
    ADD COLUMN host     text,
    ADD COLUMN model    text,
    ADD COLUMN rules    text[];                     -- ids of the rules that fired on the call
UPDATE decision SET
    reason   = coalesce(record_of.r ->> 'reason', 'policy'),
    provider = coalesce(record_of.r ->> 'provider', ''),
    host     = coalesce(record_of.r ->> 'host', ''),
    model    = coalesce(record_of.r ->> 'model', ''),
    rules    = ARRAY(SELECT one ->> 'rule' FROM jsonb_array_elements(coalesce(record_of.r -> 'rules', '[]')) AS one)
    FROM (SELECT day, id, convert_from(record, 'UTF8')::jsonb AS r FROM decision) AS record_of
    WHERE record_of.day = decision.day AND record_of.id = decision.id;
CREATE INDEX decision_rules ON decision USING gin (rules) WHERE rules <> '{}';

ALTER TABLE completion
    ADD COLUMN outcome       text,
    ADD COLUMN action        text,                  -- what the rules said of the answer; null where none was asked
    ADD COLUMN rules         text[],
    ADD COLUMN input_tokens  bigint,
    ADD COLUMN output_tokens bigint,
    ADD COLUMN first_byte_ms integer,
    ADD COLUMN duration_ms   integer;
UPDATE completion SET
    outcome       = record_of.r ->> 'outcome',
    action        = record_of.r ->> 'action',
    rules         = ARRAY(SELECT one ->> 'rule' FROM jsonb_array_elements(coalesce(record_of.r -> 'rules', '[]')) AS one),
    input_tokens  = (record_of.r ->> 'input_tokens')::bigint,
    output_tokens = (record_of.r ->> 'output_tokens')::bigint,
    first_byte_ms = least((record_of.r ->> 'first_byte_ms')::bigint, 2147483647),
    duration_ms   = least((record_of.r ->> 'duration_ms')::bigint, 2147483647)
    FROM (SELECT day, id, convert_from(record, 'UTF8')::jsonb AS r FROM completion) AS record_of
    WHERE record_of.day = completion.day AND record_of.id = completion.id;
