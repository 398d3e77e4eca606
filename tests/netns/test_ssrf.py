"""No way of writing an address that must not be reached reaches it: listeners stand on all of them, in a network of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = f"ef-ssrf-{os.getpid()}"
HOSTS = "127.0.0.1 localhost localhost.localdomain\n::1 localhost ip6-localhost\n"


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, Any]]:
    """What was heard in the namespace."""
    # `ip netns exec` puts these in place of /etc/…, in there alone
    etc = Path("/etc/netns") / NAME
    subprocess.run(["ip", "netns", "add", NAME], check=True)
    try:
        etc.mkdir(parents=True)
        (etc / "resolv.conf").write_text(
            "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"
        )
        (etc / "hosts").write_text(HOSTS)
        (etc / "nsswitch.conf").write_text("hosts: files dns\n")
        command = [
            "ip",
            "netns",
            "exec",
            NAME,
            sys.executable,
            "-m",
            "tests.netns.inside",
        ]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr[-3000:]
        yield json.loads(done.stdout.splitlines()[-1])
    finally:
        subprocess.run(["ip", "netns", "delete", NAME], check=True)
        for file in etc.iterdir():
            file.unlink()
        etc.rmdir()


def test_no_listener_hears_anything(seen: dict[str, Any]) -> None:
    assert seen["tried"] >= 60
    assert seen["reached"] == [], seen["answers"]


def test_what_may_be_reached_is_and_its_redirect_leads_nowhere(
    seen: dict[str, Any],
) -> None:
    """A client that follows a redirect asks again, and is refused: the control, without which silence would prove nothing."""
    assert seen["control"] == "403 1"
    assert seen["control_heard"] == [["93.184.216.34", 80]]


def test_a_host_that_the_operator_named_is_reached(seen: dict[str, Any]) -> None:
    assert seen["named_heard"] == [["10.0.0.1", 80]]


def test_all_are_refused(seen: dict[str, Any]) -> None:
    let = {
        target: statuses
        for target, statuses in seen["answers"].items()
        if {"200"} & set(statuses)
    }
    # public when it was asked first; the tunnel then led where it was checked, or
    # nowhere
    assert set(let) <= {"rebind.example"}, let
