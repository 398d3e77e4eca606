"""The host that the proxy answers itself: `earthflow doctor` sees by it whether a client uses the proxy and trusts it."""

from contract.probe import PROBE_HOST, SEEN


def is_probe(host: str) -> bool:
    """Whether a call goes to the probe's host."""
    return host.lower().rstrip(".") == PROBE_HOST


def probe_answer() -> bytes:
    """The body of the answer, plain text."""
    return f"{SEEN}\n".encode()
