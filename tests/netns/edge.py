"""Run in a network namespace by test_enforcing.py: an Earthflow that answers other namespaces, until standard input ends."""

import json
import sys

from tests.support.house import House


def main(provider: str) -> None:
    """Print where it is, and whom it lets in; `provider` is the address that stands for api.openai.com."""
    told = {
        "EARTHFLOW_LISTEN_HOST": "",
        "EARTHFLOW_UPSTREAM_MAP": f"api.openai.com={provider}:443",
    }
    with House(told) as house:
        tenant = house.tenant()
        pair = house.folder / "providers.pem"
        print(json.dumps({"port": house.stack.port, "key": tenant.key, "bundle": str(house.bundle), "pair": str(pair)}), flush=True)  # fmt: skip
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
