"""Whether what this container serves is ready, by a port of it: `python -m cli.alive PORT …`, the
image's health check. It runs every few seconds, so it needs nothing but Python.
"""

import http.client
import sys

TIMEOUT = 4.0  # seconds; Docker waits for five


def is_ready(port: str) -> bool:
    """Whether what listens on a port of this machine says that it is ready."""
    if not port.isdigit():
        return False
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=TIMEOUT)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if any(map(is_ready, sys.argv[1:])) else 1)
