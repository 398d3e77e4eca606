"""By which name a client is tried, and what it then reads. The name resolves nowhere (RFC 2606), so nobody else can answer."""

PROBE_HOST = "doctor.earthflow.invalid"
SEEN = "earthflow sees you"
