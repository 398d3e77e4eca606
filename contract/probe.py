"""The host by which `earthflow doctor` tries a client, and its answer.

The name resolves nowhere (RFC 2606), so only the proxy can answer.
"""

PROBE_HOST = "doctor.earthflow.invalid"
SEEN = "earthflow sees you"
