"""Run in a network namespace by test_scale.py: a PostgreSQL that answers other hosts, until standard input ends."""

import sys
from pathlib import Path

from cli.engines import Engines
from cli.settings import settings_of


def main(folder: str, address: str) -> None:
    """Print a line once it answers."""
    allowed = Path(folder) / "hba.conf"
    allowed.write_text("local all all trust\nhost all all 10.0.0.0/8 trust\n")
    allowed.chmod(0o644)
    settings = settings_of(Path(folder)).model_copy(update={"redis_host": "none"})
    more = {"listen_addresses": address, "hba_file": str(allowed), "fsync": "off"}
    with Engines(settings, more):
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
