"""Rules while calls go on: saved files take effect as a whole or not at all; values come back into whole answers."""

import json
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.processes import wait_until
from tests.support.house import AWS_KEY, PATIENCE, RESTRICTED, House, Tenant, message

GOOD = """earthflow: 1
rules:
  - id: live.a
    message: version {n}
    action: {action}
    match: {{keywords: livewordone}}
    tests: [{{match: livewordone}}, {{ok: nothing}}]
  - id: live.b
    message: version {n}
    action: {action}
    match: {{keywords: livewordtwo}}
    tests: [{{match: livewordtwo}}, {{ok: nothing}}]
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="ef-rules-"))
    (place / "tenants").mkdir()
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def ruled(folder: Path) -> Iterator[House]:
    (folder / "team.yaml").write_text(GOOD.format(n=0, action="flag"))
    with House({"EARTHFLOW_RULES_DIR": str(folder)}) as running:
        yield running


@pytest.fixture
def caller(ruled: House) -> Tenant:
    return ruled.tenant()


def save(path: Path, text: str) -> None:
    """As an editor does: whole, by a rename."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.replace(path)


def rules_check(house: House) -> dict[str, object]:
    check: dict[str, object] = house.stack.control.get("/health/ready")["checks"][
        "rules"
    ]
    return check


def test_a_saved_file_takes_effect_and_no_call_is_judged_by_a_mixture(
    ruled: House, folder: Path, caller: Tenant
) -> None:
    outcomes: list[int] = []
    ended = threading.Event()

    def call() -> None:
        while not ended.is_set():
            outcomes.append(caller.post(message("livewordone and livewordtwo"))[0])

    thread = threading.Thread(target=call)
    thread.start()
    try:
        assert wait_until(lambda: len(outcomes) > 3, PATIENCE)
        save(folder / "team.yaml", GOOD.format(n=1, action="block"))
        assert wait_until(lambda: 400 in outcomes, PATIENCE)
        save(folder / "team.yaml", GOOD.format(n=2, action="flag"))
        count = len(outcomes)
        assert wait_until(lambda: 200 in outcomes[count + 3 :], PATIENCE)
    finally:
        ended.set()
        thread.join()
    rows = caller.audit(len(outcomes))
    by_version: dict[str, set[tuple[tuple[str, str], ...]]] = {}
    for row in rows:
        fired = tuple(
            (one["rule"], one["action"])
            for one in row["rules"]
            if one["rule"].startswith("live.")
        )
        assert len({action for _, action in fired}) == 1 and len(fired) == 2, row
        by_version.setdefault(row["rulebook"], set()).add(fired)
    assert len(by_version) >= 2
    assert all(len(kinds) == 1 for kinds in by_version.values())


def test_a_file_broken_in_a_hundred_ways_changes_nothing(
    ruled: House, folder: Path, caller: Tenant
) -> None:
    broken = sorted(
        (Path(__file__).parent.parent / "rules" / "broken").glob("[!w]*.yaml")
    )
    save(folder / "team.yaml", GOOD.format(n=3, action="block"))
    assert wait_until(lambda: caller.post(message("livewordone"))[0] == 400, PATIENCE)
    version = rules_check(ruled)["version"]
    for number in range(100):
        save(
            folder / "broken.yaml",
            broken[number % len(broken)].read_text() + "#" * (number // len(broken)),
        )
        if number % 10 == 0:
            assert wait_until(
                lambda: rules_check(ruled)["status"] == "DEGRADED", PATIENCE
            ), broken[number % len(broken)]
            assert rules_check(ruled)["version"] == version
            assert caller.post(message("livewordone"))[0] == 400
    assert "broken.yaml:" in str(rules_check(ruled)["detail"])
    (folder / "broken.yaml").unlink()
    assert wait_until(lambda: rules_check(ruled)["status"] == "OK", PATIENCE)
    assert rules_check(ruled)["version"] == version


def test_a_tenants_own_file_speaks_for_that_tenant_alone(
    ruled: House, folder: Path, caller: Tenant
) -> None:
    other = ruled.tenant()
    own = "earthflow: 1\nrules:\n  - {id: mine, message: m, action: block, match: {keywords: onlymine}, tests: [{match: onlymine}, {ok: x}]}\n"
    save(folder / "tenants" / f"{caller.id}.yaml", own)
    assert wait_until(lambda: caller.post(message("onlymine"))[0] == 400, PATIENCE)
    assert other.post(message("onlymine"))[0] == 200
    (folder / "tenants" / f"{caller.id}.yaml").unlink()
    assert wait_until(lambda: caller.post(message("onlymine"))[0] == 200, PATIENCE)


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_a_whole_answer_gets_the_original_back(
    ruled: House, folder: Path, caller: Tenant, version: str
) -> None:
    rule = "earthflow: 1\nrules:\n  - {id: echoed, message: m, action: redact, match: {regex: 'MATTER-[0-9]{5}'}, redact: {restore: true}}\n"
    save(folder / "restore.yaml", rule)
    sent = message("please repeat MATTER-12345 to me")
    assert wait_until(
        lambda: (
            caller.post(sent, version)[0] == 200
            and b"MATTER-12345" not in ruled.providers.heard[-1].body
        ),
        PATIENCE,
    )
    assert b"[REDACTED:echoed_" in ruled.providers.heard[-1].body
    done = caller.curl(
        version,
        "-H",
        "content-type: application/json",
        "-d",
        sent.decode(),
        *["https://api.openai.com/v1/chat/completions"] * 2,
    )
    # two answers on one connection
    assert done.stdout.count("please repeat MATTER-12345 to me") == 2, done
    (folder / "restore.yaml").unlink()


def test_one_bad_turn_does_not_end_a_conversation(ruled: House, caller: Tenant) -> None:
    turns = [{"role": "user", "content": RESTRICTED}]
    assert (
        caller.post(json.dumps({"model": "gpt-5.2", "messages": turns}).encode())[0]
        == 400
    )
    turns += [
        {"role": "assistant", "content": "That was refused."},
        {"role": "user", "content": f"Sorry. And {AWS_KEY}?"},
    ]
    assert (
        caller.post(json.dumps({"model": "gpt-5.2", "messages": turns}).encode())[0]
        == 200
    )
    heard = ruled.providers.heard[-1].body
    assert RESTRICTED.encode() not in heard and AWS_KEY.encode() not in heard
    assert b"That was refused." in heard
