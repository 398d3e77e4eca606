"""`python -m control.backup`: does what `earthflow backup` and `earthflow restore` ask, as a Job on
standard input. Progress goes to standard error, the result as JSON to standard output.
"""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import msgspec
from pydantic import ValidationError

from contract.backup import Job
from contract.settings import explain
from contract.unwrap import key_id
from contract.version import VERSION
from control.backup import archive
from control.backup.archive import BadBackup
from control.backup.pieces import (
    CA,
    ENV,
    PROVIDERS,
    RULES,
    Deployment,
    Incomplete,
    Opened,
    members,
)
from control.settings import Postgres
from control.store import dump
from control.store.database import ChangedMigration

MASTER = "EARTHFLOW_MASTER_KEY"
NAME = "earthflow-{:%Y%m%dT%H%M%SZ}.backup"
PUBLIC = "earthflow-ca.pem"


class Failed(Exception):
    """What was asked cannot be done; the sentence says why."""


def perform(job: Job) -> dict[str, Any] | None:
    """Do what was asked; its result. Raises Failed."""
    rules, providers = (Path(name) if name else None for name in (job.rules, job.providers))  # fmt: skip
    here = Deployment(
        job.settings, Path(job.ca), rules, providers, Postgres().database_direct
    )
    if job.do == "accept":
        return {"accepted": dump.accept_keys(here.conninfo)}
    if job.do == "backup":
        return _backup(job, here)
    with Path(job.file).open("rb") as file, _opened(file, job.passphrase) as opened:
        if job.do == "env":
            return _write_env(opened, Path(job.env_to))
        if job.do == "drill":
            return _drill(opened, here)
        return _restore(opened, here, job)


def _backup(job: Job, here: Deployment) -> dict[str, Any] | None:
    if not dump.note_backup(here.conninfo):
        _say("the audit of administration cannot note here that a backup is made")
    if job.file == "-":
        _write(sys.stdout.buffer, job.passphrase, here)
        return None
    path = Path(job.file)
    if path.is_dir():
        path /= NAME.format(datetime.now(UTC))
    _to_file(path, job.passphrase, here)
    every = sorted(path.parent.glob("earthflow-*.backup"))
    for old in every[: -job.keep] if job.keep else ():
        old.unlink()
    return {"file": str(path), "bytes": path.stat().st_size}


def _to_file(path: Path, passphrase: str, here: Deployment) -> None:
    """Write a file, read it again, and only then give it its name."""
    part = path.with_name(f"{path.name}.part")
    try:
        opened = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(opened, "w+b") as file:
            _write(file, passphrase, here)
            file.flush()
            os.fsync(file.fileno())
            _say("verifying")
            file.seek(0)
            with _opened(file, passphrase) as whole:
                whole.verify()
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write(file: IO[bytes], passphrase: str, here: Deployment) -> None:
    made = datetime.now(UTC).isoformat(timespec="seconds")
    head = {"made": made, "earthflow": VERSION}
    archive.write(file, passphrase, head, members(here, _say))


def _restore(opened: Opened, here: Deployment, job: Job) -> dict[str, Any]:
    """Load the database, then write the files that are not there."""
    theirs, mine = _env(opened).get(MASTER, ""), here.settings.get(MASTER, "")
    if mine and theirs and mine != theirs:
        raise Failed(
            f"{MASTER} here has the id {key_id(mine)}, and the backup needs {key_id(theirs)}. Set that one; it is in what --env-to writes"
        )
    _load(opened, here.conninfo, replace=job.replace)
    if job.accept_old_keys:
        dump.accept_keys(here.conninfo)
    kept: list[str] = []
    for name, content in opened.files.items():
        path = _place_of(name, here)
        if path is not None and path.exists() and not job.replace:
            kept.append(str(path))
        elif path is not None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            private = name.startswith(CA) and path.name != PUBLIC
            _put(path, content, 0o600 if private else 0o644)
    return {"rows": opened.rows, "files": len(opened.files), "left_as_they_were": kept}


def _drill(opened: Opened, here: Deployment) -> dict[str, Any]:
    name = f"earthflow_drill_{secrets.token_hex(4)}"
    with dump.scratch(here.conninfo, name) as conninfo:
        _load(opened, conninfo, replace=False)
    return {"drill": "passed", "rows": opened.rows, "files": len(opened.files)}


def _load(opened: Opened, conninfo: str, *, replace: bool) -> None:
    def say(table: str, rows: int) -> None:
        _say(f"database: {table}, {rows:,} rows")

    wanted, rows_of, finish = opened.contents, opened.rows_of, opened.finish
    dump.load(conninfo, wanted, rows_of, say, finish, replace=replace)


@contextmanager
def _opened(file: IO[bytes], passphrase: str) -> Iterator[Opened]:
    try:
        _, key = archive.read_head(file)
        # Closed whatever happens: a thread waits for whoever reads them.
        with closing(archive.read(file, archive.unlock(key, passphrase))) as found:
            yield Opened(found)
    except (BadBackup, Incomplete) as error:
        raise Failed(f"The backup cannot be used: {error}") from None


def _env(opened: Opened) -> dict[str, str]:
    lines = opened.files.get(ENV, b"").decode().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _write_env(opened: Opened, path: Path) -> dict[str, Any]:
    if path.exists():
        raise Failed(f"There is a file {path} already")
    _put(path, opened.files.get(ENV, b""), 0o600)
    return {"file": str(path), "settings": len(_env(opened))}


def _place_of(name: str, here: Deployment) -> Path | None:
    """Where a file of a backup goes; None where it goes nowhere."""
    for under, folder in ((CA, here.ca), (RULES, here.rules)):
        if name.startswith(under) and folder is not None:
            path = (folder / name.removeprefix(under)).resolve()
            return path if path.is_relative_to(folder.resolve()) else None
    return here.providers if name == PROVIDERS else None


def _put(path: Path, content: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def main() -> None:
    """`python -m control.backup`."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    try:
        result = perform(job)
    except (Failed, dump.NotEmpty) as error:
        raise SystemExit(f"earthflow: {error}.") from None
    except dump.Refused as error:
        raise SystemExit(f"earthflow: The database refused: {error}.") from None
    except (dump.Differs, ChangedMigration) as error:
        raise SystemExit(f"earthflow: The backup was not restored: {error}.") from None
    except ValidationError as error:
        raise SystemExit(
            "\n".join(f"earthflow: {one}" for one in explain(error))
        ) from None
    except OSError as error:
        where, why = error.filename or job.file, error.strerror or error
        raise SystemExit(f"earthflow: {where} cannot be used: {why}.") from None
    except (
        Exception
    ) as error:  # such as a hostile backup's odd values; never their text
        raise SystemExit(f"earthflow: It failed ({type(error).__name__}); nothing was committed.") from None  # fmt: skip
    if result is not None:
        sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
