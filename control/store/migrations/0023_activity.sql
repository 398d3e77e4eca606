-- Counts of exchanges by the minute and the hour, kept while they are stored: what the dashboard's figures and the counts beside
-- its filters are read from. `tenant` is empty for all together. Triggers keep them, so that they add up whoever stores records.
CREATE TABLE activity (
    span      text NOT NULL CHECK (span IN ('minute', 'hour')),
    tenant    text NOT NULL,
    dimension text NOT NULL,            -- status, rule, outcome …; or input_tokens, output_tokens; or added, by its upper bound in ms
    at        timestamptz NOT NULL,     -- the beginning of the span; by the time of the decision, of completions as well
    value     text NOT NULL,
    count     bigint NOT NULL,
    PRIMARY KEY (span, tenant, dimension, at, value)
);
CREATE INDEX activity_by_time ON activity USING brin (at);

-- What a decision counts as; `brief` in minutes, too.
CREATE OR REPLACE FUNCTION counted_decision(action text, reason text, provider text, host text, model text, rules text[])
RETURNS TABLE (dimension text, value text, count bigint, brief boolean) LANGUAGE sql IMMUTABLE AS $$
    SELECT 'status', action, 1::bigint, true
    UNION ALL SELECT 'reason', reason, 1, false
    UNION ALL SELECT 'provider', provider, 1, false WHERE provider <> ''
    UNION ALL SELECT 'host', host, 1, false WHERE host <> ''
    UNION ALL SELECT 'model', model, 1, false WHERE model <> ''
    UNION ALL SELECT 'rule', rule, 1, false FROM (SELECT DISTINCT unnest(rules)) AS fired (rule)
$$;

-- What a completion counts as; a rule that fired on the call as well was counted there.
CREATE OR REPLACE FUNCTION counted_completion(outcome text, rules text[], before text[], input_tokens bigint, output_tokens bigint, added_ms real)
RETURNS TABLE (dimension text, value text, count bigint, brief boolean) LANGUAGE sql IMMUTABLE AS $$
    SELECT 'outcome', outcome, 1::bigint, true
    UNION ALL SELECT 'input_tokens', '', input_tokens, true WHERE input_tokens > 0
    UNION ALL SELECT 'output_tokens', '', output_tokens, true WHERE output_tokens > 0
    UNION ALL SELECT 'added', coalesce(bound::text, 'more'), 1, true
        FROM (SELECT min(one) FROM unnest(ARRAY[0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 1000]) AS one WHERE added_ms <= one) AS found (bound)
        WHERE added_ms IS NOT NULL
    UNION ALL SELECT 'rule', rule, 1, false FROM (SELECT DISTINCT unnest(rules)) AS fired (rule) WHERE rule <> ALL (coalesce(before, '{}'))
$$;

-- The two, and count_day, sum alike: a function is given no set of rows without a type or a temporary table of its own, which would cost
-- more than the repetition. One transaction at a time adds: two that add the same counts in another order would block each other.
CREATE OR REPLACE FUNCTION count_decisions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1633907817);
    INSERT INTO activity (span, tenant, dimension, at, value, count)
    SELECT s.span, coalesce(k.tenant, ''), k.dimension, date_trunc(s.span, k.time, 'UTC') AS at, k.value, sum(k.count)
    FROM (
        SELECT n.tenant, n.time, c.* FROM new_rows n, counted_decision(n.action, n.reason, n.provider, n.host, n.model, n.rules) c
        UNION ALL
        SELECT n.tenant, n.time, c.* FROM new_rows n JOIN completion e ON e.day = n.day AND e.id = n.id,
            counted_completion(e.outcome, e.rules, n.rules, e.input_tokens, e.output_tokens, e.added_ms) c
    ) AS k JOIN (VALUES ('hour'), ('minute')) AS s (span) ON k.brief OR s.span = 'hour'
    GROUP BY GROUPING SETS ((s.span, k.tenant, k.dimension, date_trunc(s.span, k.time, 'UTC'), k.value),
        (s.span, k.dimension, date_trunc(s.span, k.time, 'UTC'), k.value))
    ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (span, tenant, dimension, at, value) DO UPDATE SET count = activity.count + excluded.count;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION count_completions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1633907817);
    INSERT INTO activity (span, tenant, dimension, at, value, count)
    SELECT s.span, coalesce(k.tenant, ''), k.dimension, date_trunc(s.span, k.time, 'UTC') AS at, k.value, sum(k.count)
    FROM (
        SELECT d.tenant, d.time, c.* FROM new_rows n JOIN decision d ON d.day = n.day AND d.id = n.id,
            counted_completion(n.outcome, n.rules, d.rules, n.input_tokens, n.output_tokens, n.added_ms) c
    ) AS k JOIN (VALUES ('hour'), ('minute')) AS s (span) ON k.brief OR s.span = 'hour'
    GROUP BY GROUPING SETS ((s.span, k.tenant, k.dimension, date_trunc(s.span, k.time, 'UTC'), k.value),
        (s.span, k.dimension, date_trunc(s.span, k.time, 'UTC'), k.value))
    ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (span, tenant, dimension, at, value) DO UPDATE SET count = activity.count + excluded.count;
    RETURN NULL;
END $$;

CREATE TRIGGER count_decisions AFTER INSERT ON decision REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_decisions();
CREATE TRIGGER count_completions AFTER INSERT ON completion REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_completions();

-- Days with exchanges from before the triggers. Control counts them anew, one after the other (control/jobs/count.py).
CREATE TABLE uncounted_day (
    day date PRIMARY KEY
);
INSERT INTO uncounted_day
SELECT to_date(right(c.relname, 8), 'YYYYMMDD') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'decision'::regclass;

-- Counts all exchanges of a day, of which no counts are there, by their times, which may be a minute later than their ids. Its caller
-- holds the lock, so that whoever adds meanwhile waits.
CREATE OR REPLACE FUNCTION count_day(wanted date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := wanted::timestamp AT TIME ZONE 'UTC';
BEGIN
    INSERT INTO activity (span, tenant, dimension, at, value, count)
    SELECT s.span, coalesce(k.tenant, ''), k.dimension, date_trunc(s.span, k.time, 'UTC'), k.value, sum(k.count)
    FROM (
        SELECT d.tenant, d.time, c.* FROM decision d, counted_decision(d.action, d.reason, d.provider, d.host, d.model, d.rules) c
        WHERE d.day IN (wanted - 1, wanted) AND d.time >= since AND d.time < since + interval '24 hours'
        UNION ALL
        SELECT d.tenant, d.time, c.* FROM decision d JOIN completion e ON e.day = d.day AND e.id = d.id,
            counted_completion(e.outcome, e.rules, d.rules, e.input_tokens, e.output_tokens, e.added_ms) c
        WHERE d.day IN (wanted - 1, wanted) AND d.time >= since AND d.time < since + interval '24 hours'
    ) AS k JOIN (VALUES ('hour'), ('minute')) AS s (span) ON s.span = 'hour' OR (k.brief AND k.time > now() - interval '48 hours')
    GROUP BY GROUPING SETS ((s.span, k.tenant, k.dimension, date_trunc(s.span, k.time, 'UTC'), k.value),
        (s.span, k.dimension, date_trunc(s.span, k.time, 'UTC'), k.value));
END $$;
