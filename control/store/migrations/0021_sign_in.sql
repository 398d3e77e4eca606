-- Keys that people got by single sign-on, with what asks the provider about them again.
CREATE TABLE sign_in (
    key         text PRIMARY KEY REFERENCES api_key (id),
    subject     text NOT NULL,        -- the provider's id of the person
    tokens      text NOT NULL,        -- wrapped: the ID token, and the refresh token where there is one
    began       timestamptz NOT NULL DEFAULT now(),
    heard       timestamptz NOT NULL DEFAULT now(), -- when the provider last said that it knows the person
    renew_after timestamptz           -- when to ask next; none where the provider gave no refresh token
);
CREATE INDEX sign_in_by_renewal ON sign_in (renew_after);
-- Such a key is forgotten with the audit of its time, since it bears a person's name.
ALTER TABLE api_key ADD COLUMN signed_in boolean NOT NULL DEFAULT false;
-- Commands that wait for somebody to sign in for them, at a browser (RFC 8628).
CREATE TABLE command_login (
    code      text PRIMARY KEY,       -- SHA-256 of the command's own code
    user_code text NOT NULL UNIQUE,   -- what the person reads in the command and gives to the page
    address   text NOT NULL,          -- where the command runs
    ends      timestamptz NOT NULL,
    polled    timestamptz,
    granted   text                    -- wrapped: who signed in for it; none: nobody so far
);
CREATE INDEX command_login_by_end ON command_login (ends);
