"""What the command asks `python -m control.backup` to do."""

from typing import Literal

import msgspec


class Job(msgspec.Struct, frozen=True):
    """A backup to `file` (a path, a folder, or `-` for standard output), or what is to be done
    with one. `settings` are those of the deployment, secrets included; `ca`, `rules` and
    `providers` are where its files are. The database is in the environment.
    """

    do: Literal["backup", "restore", "drill", "env", "accept"]
    ca: str
    settings: dict[str, str]
    file: str = ""
    passphrase: str = ""
    rules: str | None = None
    providers: str | None = None
    keep: int | None = None
    replace: bool = False
    accept_old_keys: bool = False
    env_to: str = ""

    def __repr__(self) -> str:
        return f"Job({self.do}, ****)"
