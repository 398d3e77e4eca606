"""A snapshot on disk: used at a start without control, and never where a newer one was known; used from control whatever the disk says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.fernet import Fernet

from addons.tenants import snapshot as module
from addons.tenants.newest_mark import read_mark, write_mark
from addons.tenants.snapshot import NoSnapshot, OlderSnapshot, SnapshotHolder
from contract.proof import NONCE, PROOF, proof_of
from contract.snapshot import Snapshot, seal
from contract.unwrap import seal_key
from tests.support.shared import MASTER_KEY


class Compiled:
    """A snapshot without its rules, which take seconds."""

    def __init__(self, snapshot: Snapshot, *_: object):
        self.snapshot, self.library = snapshot, None

    def compile_as(self, before: object) -> None:
        """Nothing to do."""


@pytest.fixture
def holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SnapshotHolder:
    monkeypatch.setattr(module, "CompiledSnapshot", Compiled)
    return new(tmp_path)


def new(folder: Path) -> SnapshotHolder:
    return SnapshotHolder(folder / "snapshot.sealed", "http://127.0.0.1:1", MASTER_KEY, 3600)  # fmt: skip


def sealed(version: int) -> bytes:
    pepper = Fernet(seal_key(MASTER_KEY)).encrypt(b"p").decode()
    return seal(Snapshot(version, datetime.now(UTC), pepper, (), (), {}), seal_key(MASTER_KEY))  # fmt: skip


def version_of(holder: SnapshotHolder) -> int:
    current: Any = holder._current
    return int(current.snapshot.version)


def test_the_newest_snapshot_is_on_disk_for_the_next_start(
    holder: SnapshotHolder, tmp_path: Path
) -> None:
    holder._take(sealed(3))
    holder._take(sealed(5))
    again = new(tmp_path)
    assert again._load()
    assert version_of(again) == 5
    assert (tmp_path / "snapshot.sealed").stat().st_mode & 0o777 == 0o600


def test_an_older_snapshot_is_not_used_at_a_start(
    holder: SnapshotHolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = sealed(3)
    holder._take(sealed(5))
    (tmp_path / "snapshot.sealed").write_bytes(old)
    again = new(tmp_path)
    assert not again._load()
    with pytest.raises(NoSnapshot):
        _ = again.current
    assert "is version 3, and 5 was known here" in caplog.text
    with pytest.raises(OlderSnapshot, match=r"remove .*snapshot\.newest"):
        again._take(old)
    (tmp_path / "snapshot.newest").unlink()
    again._take(old)
    assert version_of(again) == 3


def test_a_snapshot_is_used_where_it_cannot_be_kept(
    holder: SnapshotHolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    holder._take(sealed(3))
    (tmp_path / "snapshot.new").mkdir()  # nothing can be written there
    holder._take(sealed(4))
    assert version_of(holder) == 4
    assert "cannot be kept on disk" in caplog.text
    assert read_mark(tmp_path / "snapshot.newest") == 4
    assert not new(tmp_path)._load()


@pytest.mark.parametrize("content", ["", "no number", "-", "1" * 5000])
def test_a_mark_that_is_none_is_no_mark(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mark"
    path.write_text(content)
    assert read_mark(path) == 0
    write_mark(path, 2**63 - 1)
    assert read_mark(path) == 2**63 - 1
    write_mark(path, 7)
    assert read_mark(path) == 7


@asynccontextmanager
async def control_that_says(
    folder: Path, proofs: list[str | None]
) -> AsyncIterator[SnapshotHolder]:
    """A holder that asks somebody who proves as told: right, not at all (None), or something else."""
    before = ""

    async def answer(request: web.Request) -> web.Response:
        nonlocal before
        body, told = b'{"seq":5}', proofs.pop(0)
        right = proof_of(
            seal_key(MASTER_KEY), request.headers[NONCE], request.path, 200, body
        )
        proof = {"right": right, "replayed": before, None: ""}.get(told, told or "")
        before = right
        return web.Response(body=body, headers={PROOF: proof} if proof else {})

    app = web.Application()
    app.router.add_get("/internal/watermark/w/b", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    holder = new(folder)
    holder._control_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield holder
    finally:
        await holder.close()
        await runner.cleanup()


@pytest.mark.parametrize(
    ("proofs", "seen"),
    [
        (["right", "right"], [5, 5]),
        ([None, None], [5, 5]),  # control of an earlier version
        ([None, "right", None], [5, 5, None]),
        (["right", "replayed"], [5, None]),
        (["0" * 64], [None]),
        (["no proof"], [None]),
    ],
)
async def test_a_watermark_is_believed_only_if_control_said_it(
    tmp_path: Path, proofs: list[str | None], seen: list[int | None]
) -> None:
    async with control_that_says(tmp_path, list(proofs)) as holder:
        assert [await holder.watermark("w", "b") for _ in proofs] == seen
