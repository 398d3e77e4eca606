-- Sessions of the dashboard that ended before their time. `what` is a session's id, or that of a key whose sessions
-- that began up to `at` are over; after `until` no session of that time works any more.
CREATE TABLE session_end (
    what  text PRIMARY KEY,
    at    timestamptz NOT NULL DEFAULT now(),
    until timestamptz NOT NULL
);
