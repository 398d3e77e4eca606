"""Databases that were compiled before: those that another engine or CPU made are compiled again."""

from pathlib import Path

import pytest

from rules import hyperscan_engine, precompile
from rules.hyperscan_engine import Hyper

WORDS = ["alpha[0-9]", "beta"]
PLATFORM = slice(12, 20)  # bytes of a database's head


class Kept(dict[str, bytes]):
    """A store in memory."""

    def put(self, key: str, data: bytes) -> None:
        self[key] = data

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


def finds(engine: Hyper) -> bool:
    return dict(engine.ends(b"an alpha1 of it")) == {0: [9]}


def strange(data: bytes) -> bytes:
    """The same for a CPU that nobody has."""
    return data[: PLATFORM.start] + b"\x7f" * 8 + data[PLATFORM.stop :]


def test_what_the_package_brings_is_used_and_else_what_the_store_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hyperscan_engine, "SHIPPED", tmp_path)
    store = Kept()
    assert finds(Hyper(WORDS, store))
    ((key, data),) = store.items()
    compiled: list[object] = []
    compile = hyperscan_engine._compiled
    monkeypatch.setattr(hyperscan_engine, "_compiled", lambda *told: compiled.append(told) or compile(*told))  # fmt: skip
    assert finds(Hyper(WORDS, store)) and not compiled
    (tmp_path / key).write_bytes(data)
    assert finds(Hyper(WORDS)) and not compiled
    (tmp_path / key).write_bytes(strange(data))
    assert finds(Hyper(WORDS)) and len(compiled) == 1
    assert finds(Hyper(WORDS, store)) and len(compiled) == 1
    (tmp_path / key).unlink()
    store[key] = strange(data)
    assert finds(Hyper(WORDS, store)) and len(compiled) == 2
    assert store[key] == data


def test_nothing_is_written_where_the_engine_is_unsound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precompile, "sound", lambda: False)
    precompile.write(tmp_path / "none")
    assert not (tmp_path / "none").exists()
