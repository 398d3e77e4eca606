"""Audit logs of version 1: whatever stands in a line becomes a record or is kept aside by its number, in flat memory."""

import io
import json
import subprocess
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.migrate import MAX_LINE, Unreadable, lines, migrate, upgraded
from contract.decision import time_of
from control.api.records import records_of
from tests.support.house import EARTHFLOW, House, command_environment

NOW = datetime.now(UTC) - timedelta(days=3)
OLD = {
    "timestamp": NOW.isoformat(), "tenant_id": "t1", "decision": "blocked", "rules": ["r1"], "provider": "openai", "model": "gpt-4", "prompt": "secret words",
    "latency_ms": 12.7, "status_code": 400, "prompt_tokens": 5, "endpoint": "/v1/chat?x=1",
}  # fmt: skip


def test_a_line_of_version_1_is_one_of_version_2() -> None:
    row, had_prompt = upgraded(json.dumps(OLD).encode())
    assert had_prompt
    assert "secret words" not in json.dumps(row)
    assert (
        row["status"],
        row["path"],
        row["completion"]["input_tokens"],
        row["rules"][0]["rule"],
    ) == (
        "BLOCK",
        "/v1/chat",
        5,
        "r1",
    )
    assert abs(time_of(row["id"]) - NOW) < timedelta(seconds=1)
    assert upgraded(json.dumps(OLD).encode()) == (row, True)
    decision, completion = records_of(json.dumps(row).encode())
    assert (decision.tenant, completion.id) == ("t1", decision.id)


NAMES = [
    "timestamp",
    "tenant_id",
    "decision",
    "rules",
    "rule",
    "model",
    "latency_ms",
    "status_code",
    "prompt_tokens",
    "stream",
    "version",
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["t1", "ALLOW", NOW.isoformat(), "2026-01-01"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_any_object_is_a_record_that_can_be_taken_in_or_unreadable(
    values: dict[str, Any],
) -> None:
    line = json.dumps(
        {"timestamp": NOW.isoformat(), "tenant_id": "t1", "decision": "ALLOW", **values}
    ).encode()
    try:
        row, _ = upgraded(line)
    except Unreadable:
        return
    records_of(json.dumps(row, ensure_ascii=False).encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_unreadable(data: bytes) -> None:
    try:
        upgraded(data)
    except Unreadable as error:
        assert str(error)


@given(
    st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line)),
    st.booleans(),
)
def test_lines_have_their_numbers_and_nothing_is_lost(
    written: list[bytes], ends: bool
) -> None:
    data = b"\n".join(written) + (b"\n" if ends and written else b"")

    class Slow:
        """Gives three bytes at a time."""

        at = 0

        def read(self, size: int) -> bytes:
            self.at += 3
            return data[self.at - 3 : self.at]

    found = list(lines(cast("BinaryIO", Slow())))
    expected = (
        data.split(b"\n")[:-1]
        if data.endswith(b"\n")
        else data.split(b"\n")
        if data
        else []
    )
    assert [line for _, line, _ in found] == expected
    assert [number for number, _, _ in found] == list(range(1, len(found) + 1))
    assert sum(size for _, _, size in found) == len(data)


def test_a_line_without_end_takes_no_memory() -> None:
    class Endless:
        """300 MB without an end of line, then a short line."""

        left = 300

        def read(self, size: int) -> bytes:
            self.left -= 1
            return b"x" * size if self.left > 0 else b"\n{}" if self.left == 0 else b""

    tracemalloc.start()
    found = list(lines(cast("BinaryIO", Endless())))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [(number, line) for number, line, _ in found] == [(1, None), (2, b"{}")]
    assert peak < 8 * MAX_LINE


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit_v1.jsonl"
    good = [
        json.dumps(
            {
                **OLD,
                "tenant_id": tmp_path.name.lower().replace("_", "-")[:40],
                "n": number,
            }
        )
        for number in range(1200)
    ]
    path.write_text(
        "\n".join(
            [*good[:2], "{broken", "", '{"timestamp": 1, "tenant_id": "t"}', *good[2:]]
        )
        + "\n"
    )
    return path


def run(house: House, *words: str | Path) -> tuple[int, dict[str, Any], str]:
    told = command_environment(
        house, EARTHFLOW_ADMIN_API_KEY=house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"]
    )
    done = subprocess.run(
        [EARTHFLOW, "audit", *words, "-o", "json"],
        env=told,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def test_a_file_is_migrated_imported_and_found(house: House, log: Path) -> None:
    out = log.with_name("audit_v2.jsonl")
    words = (
        "migrate",
        "--from-version",
        "1",
        "--to-version",
        "2",
        "--input",
        log,
        "--output",
        out,
    )
    status, counts, said = run(house, *words, "--dry-run")
    assert (
        status,
        out.exists(),
        counts["written"],
        counts["rejected"],
        counts["blank"],
    ) == (
        3,
        False,
        1200,
        2,
        1,
    )
    assert counts["read"] == counts["written"] + counts["rejected"] + counts["blank"]
    assert "line 3: it is no JSON" in said
    assert run(house, *words)[0] == 3
    first = out.read_bytes()
    assert [
        json.loads(line)["line"]
        for line in out.with_name(out.name + ".rejected").read_text().splitlines()
    ] == [3, 5]
    run(house, *words)
    assert out.read_bytes() == first
    assert run(house, "import", out)[:2] == (
        0,
        {"read": 1200, "stored": 1200, "known": 0, "refused": 0},
    )
    assert run(house, "import", out)[1] == {
        "read": 1200,
        "stored": 0,
        "known": 1200,
        "refused": 0,
    }
    tenant = json.loads(first.splitlines()[0])["tenant"]
    assert run(house, "stats", "--tenant", tenant)[1]["by_status"] == {"BLOCK": 1200}


def test_an_export_can_be_imported(house: House, tmp_path: Path) -> None:
    tenant = house.tenant()
    tenant.post(b'{"model": "m", "messages": []}')
    tenant.audit(1)
    told = command_environment(
        house, EARTHFLOW_ADMIN_API_KEY=house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"]
    )
    words = [EARTHFLOW, "audit", "export", "--tenant", tenant.id]
    exported = subprocess.run(words, env=told, capture_output=True, check=True).stdout
    (tmp_path / "log.jsonl").write_bytes(exported)
    assert run(house, "import", tmp_path / "log.jsonl")[:2] == (
        0,
        {"read": 1, "stored": 0, "known": 1, "refused": 0},
    )
    other = json.loads(exported)
    for bad, why in (({"id": "x"}, "badly formed"), ({"time": 5}, "Expected"), ({"version": 3}, "version 3"), ({"tenant": "A B"}, "tenant"), ({"model": "\0"}, "holds"), ({"time": "2026-01-01T00:00:00Z"}, "not made at its time"), ({"time": "2026-01-01T00:00:00"}, "Expected")):  # fmt: skip
        (tmp_path / "log.jsonl").write_text(json.dumps({**other, **bad}) + "\n")
        status, counts, said = run(house, "import", tmp_path / "log.jsonl")
        assert (status, counts["refused"], why in said) == (3, 1, True), (bad, said)


def test_what_cannot_be_is_said(house: House, log: Path) -> None:
    words = ("migrate", "--input", log, "--output", log)
    assert "same file" in run(house, *words)[2]
    assert "is known" in run(house, *words, "--from-version", "3")[2]
    assert (
        "no file"
        in run(house, "migrate", "--input", log.with_name("none"), "--output", log)[2]
    )


def test_equal_lines_are_exchanges_of_their_own_each_time_the_same(
    tmp_path: Path,
) -> None:
    source, line = tmp_path / "log", json.dumps(OLD).encode() + b"\n"
    source.write_bytes(line * 3)
    ids = []
    for _ in range(2):
        out = io.BytesIO()
        migrate(source, out, None, lambda size: None, lambda number, why: None)
        ids.append([json.loads(one)["id"] for one in out.getvalue().splitlines()])
    assert (len(set(ids[0])), ids[0]) == (3, ids[1])


def test_the_input_is_never_touched(house: House, log: Path) -> None:
    rejects = log.with_name("out.jsonl.rejected")
    rejects.write_bytes(log.read_bytes())
    before = rejects.read_bytes()
    status, _, said = run(
        house, "migrate", "--input", rejects, "--output", log.with_name("out.jsonl")
    )
    assert (status, "name another output" in said, rejects.read_bytes()) == (
        2,
        True,
        before,
    )
