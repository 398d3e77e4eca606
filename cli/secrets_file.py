"""The secrets of an Earthflow on one machine: made at its first start, kept in a 0600
file.
"""

import contextlib
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from cli.errors import BAD_CONFIGURATION, CommandError
from contract.keys import parse

FILE = "secrets.env"
CLIENT_KEY = "client-key"  # a tenant's key, for `earthflow run` on this machine
MASTER, ADMIN = "EARTHFLOW_MASTER_KEY", "EARTHFLOW_ADMIN_API_KEY"


def read_or_make(
    state: Path, given: Mapping[str, str | None]
) -> tuple[dict[str, str], bool]:
    """The secrets by variable name, and whether the file is new.

    Those `given` replace the file's, and are never written.

    Raises CommandError where the file is broken.
    """
    told = {name: value for name, value in given.items() if value}
    path = state / FILE
    if {MASTER, ADMIN} <= told.keys():
        return told, False
    if not path.exists():
        made = {
            MASTER: Fernet.generate_key().decode(),
            ADMIN: f"ef_admin_{secrets.token_urlsafe(32)}",
        }
        write_private(
            path, "".join(f"{name}={value}\n" for name, value in made.items())
        )
        return made | told, True
    found = dict(
        line.split("=", 1) for line in path.read_text().splitlines() if "=" in line
    )
    if not {MASTER, ADMIN} <= found.keys():
        raise CommandError(
            f"{path} lacks {MASTER} or {ADMIN}. Put it back, or use another EARTHFLOW_STATE_DIR.",
            BAD_CONFIGURATION,
        )
    return {name: found[name] for name in (MASTER, ADMIN)} | told, False


def follow_rotation(state: Path, rotated: Iterable[Mapping[str, Any]]) -> bool:
    """Take up the new key where the one that this machine keeps for its programs was rotated;
    whether it was. The old one ends soon, and they would be turned away.
    """
    path = state / CLIENT_KEY
    try:
        kept = parse(path.read_text().strip())
    except OSError:
        return False
    for one in rotated:
        if kept is not None and kept.id in one["old"]:
            write_private(path, one["api_key"])
            return True
    return False


def read(state: Path) -> dict[str, str]:
    """The secrets of the file; empty where there is none."""
    try:
        lines = (state / FILE).read_text().splitlines()
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line)


def admin_key(state: Path, given: str | None) -> str | None:
    """The admin key that was given, or that of the file, or None."""
    return given or read(state).get(ADMIN)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all. Raises CommandError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(opened, "w") as file:
            file.write(text)
        temporary.rename(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from None
