"""What is free is given back, and a proxy loads no addon of mitmproxy's that it does not use."""

import json
import subprocess
import sys

from addons.mitm.bends import BENDS

GIVES_BACK = """
import json
from addons.status import heap
from bench.process import resident
heap.tune()
before = resident()
held = [bytes(2_000) for _ in range(50_000)]
kept = held[::500]
full = resident()
del held
heap.trim()
print(json.dumps([full - before, resident() - before]))
"""
LOADS = """
import json, sys
import addons.run
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
UNUSED = {"flask", "werkzeug", "ldap3", "pyasn1", "jinja2"}


def said(code: str) -> list[object]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)  # fmt: skip
    found: list[object] = json.loads(done.stdout)
    return found


def test_pages_between_what_is_kept_are_given_back() -> None:
    full, after = said(GIVES_BACK)
    assert isinstance(full, int) and isinstance(after, int)
    assert full > 90_000_000 and after < full / 4


def test_addons_that_are_not_used_are_not_loaded() -> None:
    loaded = set(said(LOADS))
    assert loaded.isdisjoint(UNUSED) and "mitmproxy" in loaded


def test_the_package_without_its_addons_is_named_among_the_bends() -> None:
    assert any("mitmproxy.addons" in bend.what for bend in BENDS)
