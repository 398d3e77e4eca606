"""Answers through the real proxy: what a client sees, what a provider notices, and what the audit says."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.pretend import Given
from cli.processes import wait_until
from tests.support.house import AWS_KEY, PATIENCE, House, Tenant, message
from tests.support.streams import SHAPES

CHAT = SHAPES["openai-chat"]
WIPE = ['{"command": "rm -', "rf", " / ", '"}']


@pytest.fixture
def answered(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(house.providers, "answer", house.providers.answer)
    yield house


def test_a_stream_that_is_blocked_is_left_at_once_and_its_client_may_go_on(
    answered: House, tenant: Tenant
) -> None:
    left = answered.providers.left

    async def wait(chunk: int) -> None:
        await asyncio.sleep(0.01)

    answered.providers.wait, before = wait, answered.providers.wait
    try:
        frames = CHAT.made(["Let me. "], WIPE)
        answered.providers.answer = lambda *_: Given(
            CHAT.content_type, [*frames, *frames * 400], paced=True
        )
        done = tenant.curl(
            "-N", "-d", message("go", stream=True).decode(), CHAT.url, CHAT.url
        )
        assert "Blocked by Earthflow policy tools.root-wipe" in done.stdout
        assert wait_until(lambda: answered.providers.left > left, PATIENCE)
    finally:
        answered.providers.wait = before
    assert done.returncode == 0, done.stderr
    rows = tenant.audit(2)
    assert [
        (row["completion"]["outcome"], row["completion"]["action"]) for row in rows
    ] == [("blocked", "BLOCK")] * 2
    assert rows[0]["completion"]["rules"][0]["rule"] == "tools.root-wipe"
    assert rows[0]["status"] == "ALLOW"


def test_a_whole_answer_that_is_blocked_is_refused_in_the_providers_words(
    answered: House, tenant: Tenant
) -> None:
    call = {
        "id": "1",
        "type": "function",
        "function": {"name": "sh", "arguments": "rm -rf / "},
    }
    body = json.dumps(
        {"choices": [{"message": {"role": "assistant", "tool_calls": [call]}}]}
    ).encode()
    answered.providers.answer = lambda *_: Given("application/json", [body])
    status, said = tenant.post(message("go"))
    (row,) = tenant.audit(1)
    assert (status, said["error"]["code"]) == (400, "earthflow_blocked")
    assert row["id"] in said["error"]["message"]
    assert (row["completion"]["outcome"], row["completion"]["status"]) == (
        "blocked",
        400,
    )


def test_answers_without_a_body_keep_their_connection_sound(
    answered: House, tenant: Tenant
) -> None:
    answered.providers.answer = lambda *_: Given("text/event-stream", [], status=204)
    done = tenant.curl(
        "-w",
        "%{http_code} ",
        *["-o", "/dev/null"] * 3,
        "-d",
        message("go", stream=True).decode(),
        *[CHAT.url] * 3,
    )
    assert done.stdout == "204 204 204 ", done.stderr


def test_an_answer_of_which_nothing_can_be_read_passes_and_says_so(
    answered: House, tenant: Tenant, tmp_path: Path
) -> None:
    sound = bytes(range(256)) * 100
    answered.providers.answer = lambda *_: Given("audio/mpeg", [sound])
    out = tmp_path / "sound"
    body = json.dumps({"model": "tts-1", "input": "hello", "voice": "a"})
    tenant.curl(
        "-o",
        str(out),
        "-H",
        "content-type: application/json",
        "-d",
        body,
        "https://api.openai.com/v1/audio/speech",
    )
    assert out.read_bytes() == sound
    completion = tenant.audit(1)[0]["completion"]
    assert (completion["action"], completion["coverage"], completion["unreadable"]) == (
        "FLAG",
        "none",
        ["audio"],
    )


def test_an_outage_behind_a_provider_is_still_an_outage(
    answered: House, tenant: Tenant
) -> None:
    answered.providers.answer = lambda *_: Given(
        "text/html", [b"<html>Bad gateway</html>"], status=502
    )
    status, said = tenant.post(message("go", stream=True))
    assert (status, said) == (502, "<html>Bad gateway</html>")


def test_an_answer_larger_than_is_held_passes_and_says_so(
    answered: House, tenant: Tenant
) -> None:
    large = json.dumps(
        {"choices": [{"message": {"content": "word " * 4_000_000}}]}
    ).encode()
    answered.providers.answer = lambda *_: Given("application/json", [large])
    done = tenant.curl(
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{size_download}",
        "-d",
        message("go").decode(),
        CHAT.url,
    )
    assert done.stdout == f"200 {len(large)}"
    assert tenant.audit(1)[0]["completion"]["unreadable"] == ["too_large"]


def test_a_client_that_goes_while_text_is_held_is_recorded_with_what_was_found(
    answered: House, tenant: Tenant
) -> None:
    async def wait(chunk: int) -> None:
        await asyncio.sleep(0.05)

    answered.providers.wait, before = wait, answered.providers.wait
    try:
        frames = CHAT.made([f"the key {AWS_KEY} is", " AKIA", *["."] * 200], [])
        answered.providers.answer = lambda *_: Given(
            CHAT.content_type, frames, paced=True
        )
        tenant.curl(
            "-N", "--max-time", "1", "-d", message("go", stream=True).decode(), CHAT.url
        )
    finally:
        answered.providers.wait = before
    completion = tenant.audit(1)[0]["completion"]
    assert (completion["outcome"], completion["action"]) == ("client_abort", "REDACT")
