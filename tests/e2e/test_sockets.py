"""WebSockets of AI hosts through the real proxy: each message judged, both ways, and closed by policy where a rule says so."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from websockets.exceptions import ConnectionClosed

from cli.processes import wait_until
from tests.support.house import AWS_KEY, PATIENCE, RESTRICTED, House, Tenant
from tests.support.raw import UPGRADE
from tests.support.websocket import WebSocket

REALTIME = "wss://api.openai.com/v1/realtime?model=gpt-realtime"
WIPE = '{"command": "rm -rf / "}'


@pytest.fixture
def dialogue(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(house.providers, "reply", lambda _: [])
    yield house


def open_socket(tenant: Tenant, url: str = REALTIME) -> WebSocket:
    return WebSocket(tenant, url)


def say(text: str) -> str:
    item = {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": text}],
    }
    return json.dumps({"type": "conversation.item.create", "item": item})


def delta(text: str) -> str:
    return json.dumps(
        {
            "type": "response.output_text.delta",
            "response_id": "r",
            "output_index": 0,
            "content_index": 0,
            "delta": text,
        }
    )


def done() -> str:
    usage = {"input_tokens": 11, "output_tokens": 5}
    return json.dumps(
        {
            "type": "response.done",
            "response": {"id": "r", "status": "completed", "usage": usage},
        }
    )


def heard(house: House) -> list[dict[str, Any]]:
    return [one.json for one in house.providers.heard if one.method == "MESSAGE"]


def test_a_dialogue_passes_and_each_message_that_says_something_is_recorded(
    dialogue: House, tenant: Tenant
) -> None:
    dialogue.providers.reply = lambda message: (
        [delta("Hel"), delta("lo"), done()] if "response.create" in message else []
    )
    with open_socket(tenant) as socket:
        socket.send(say("hello"))
        socket.send(
            json.dumps(
                {"type": "response.create", "response": {"instructions": "be kind"}}
            )
        )
        assert [json.loads(socket.recv())["type"] for _ in range(3)] == [
            "response.output_text.delta"
        ] * 2 + ["response.done"]
    rows = tenant.audit(3)
    assert {row["method"] for row in rows} == {"GET", "MESSAGE"}
    assert {(row["status"], row["coverage"], row["model"]) for row in rows} == {
        ("ALLOW", "full", "gpt-realtime")
    }
    answered = next(
        row
        for row in rows
        if row["completion"]["output_tokens"] == 5 and row["method"] == "MESSAGE"
    )
    assert (answered["completion"]["action"], answered["completion"]["outcome"]) == (
        "ALLOW",
        "ok",
    )
    opened = next(row for row in rows if row["method"] == "GET")["completion"]
    # each token is counted once
    assert (opened["status"], opened["output_tokens"]) == (
        101,
        None,
    )
    assert min(opened["bytes_up"], opened["bytes_down"]) > 100


def test_a_secret_in_a_message_does_not_arrive(dialogue: House, tenant: Tenant) -> None:
    dialogue.providers.reply = lambda _: [done()]
    with open_socket(tenant) as socket:
        socket.send(say(f"my key is {AWS_KEY}"))
        socket.recv()
    text = heard(dialogue)[-1]["item"]["content"][0]["text"]
    assert text.startswith("my key is [REDACTED:credentials_aws_access_key_")
    assert "REDACT" in {row["status"] for row in tenant.audit(2)}


def test_a_blocked_message_closes_by_policy_and_says_why(
    dialogue: House, tenant: Tenant
) -> None:
    before = len(heard(dialogue))
    key = RESTRICTED
    with open_socket(tenant) as socket:
        socket.send(say(key))
        told = json.loads(socket.recv())
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()
    row = next(row for row in tenant.audit(2) if row["status"] == "BLOCK")
    assert row["id"] in told["error"]["message"]
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason[:28]) == (
        1008,
        "Blocked by Earthflow policy ",
    )
    assert len(heard(dialogue)) == before
    assert wait_until(lambda: dialogue.providers.closed == 1008, PATIENCE)


def test_what_an_answer_must_not_say_is_edited_wherever_its_messages_are_cut(
    dialogue: House, tenant: Tenant
) -> None:
    pieces = [
        delta(f"the key is {AWS_KEY[:5]}"),
        delta(AWS_KEY[5:]),
        delta(" indeed."),
        done(),
    ]
    dialogue.providers.reply = lambda _: pieces
    with open_socket(tenant) as socket:
        socket.send(say("hello"))
        said = [json.loads(socket.recv()) for _ in pieces]
    text = "".join(one.get("delta", "") for one in said)
    assert AWS_KEY not in text
    assert text.startswith(
        "the key is [REDACTED:credentials_aws_access_key_"
    ) and text.endswith("] indeed.")
    assert "REDACT" in {row["completion"]["action"] for row in tenant.audit(2)}


def test_a_blocked_answer_ends_the_dialogue_before_it_is_out(
    dialogue: House, tenant: Tenant
) -> None:
    arguments = [
        json.dumps(
            {
                "type": "response.function_call_arguments.delta",
                "output_index": 0,
                "delta": WIPE[at : at + 6],
            }
        )
        for at in range(0, len(WIPE), 6)
    ]
    dialogue.providers.reply = lambda _: [*arguments, done()]
    said = ""
    with open_socket(tenant) as socket:
        socket.send(say("clean up"))
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                said += str(socket.recv())
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008
    assert "Blocked by Earthflow policy tools.root-wipe" in said
    assert "rm -rf /" not in "".join(
        json.loads(one).get("delta", "")
        for one in said.replace("}{", "}\n{").splitlines()
    )
    assert ("blocked", "BLOCK") in {
        (row["completion"]["outcome"], row["completion"]["action"])
        for row in tenant.audit(2)
    }


SOUND = base64.b64encode(bytes(range(200)) * 3).decode()


def test_sound_is_counted_and_not_recorded_piece_by_piece(
    dialogue: House, tenant: Tenant
) -> None:
    with open_socket(tenant) as socket:
        for _ in range(50):
            socket.send(
                json.dumps({"type": "input_audio_buffer.append", "audio": SOUND})
            )
    rows = tenant.audit(2)
    assert [row["unreadable"] for row in rows if row["method"] == "MESSAGE"] == [
        ["audio"]
    ]
    assert (
        next(row for row in rows if row["method"] == "GET")["completion"]["bytes_up"]
        > 50 * 800
    )


def test_text_of_any_script_arrives_as_it_was_sent_however_long(
    dialogue: House, tenant: Tenant
) -> None:
    long = "日本語 € é " * 1000
    dialogue.providers.reply = lambda message: [message]
    with open_socket(tenant) as socket:
        socket.send(json.dumps(json.loads(say(long)), ensure_ascii=False))
        back = json.loads(socket.recv())
    assert heard(dialogue)[-1]["item"]["content"][0]["text"] == long
    assert back["item"]["content"][0]["text"] == long


def test_responses_that_come_in_turns_are_one_stream(
    dialogue: House, tenant: Tenant
) -> None:
    def piece(id: str, text: str) -> str:
        return json.dumps(
            {
                "type": "response.output_text.delta",
                "response_id": id,
                "output_index": 0,
                "content_index": 0,
                "delta": text,
            }
        )

    def over(id: str) -> str:
        return json.dumps(
            {"type": "response.done", "response": {"id": id, "status": "completed"}}
        )

    odd = json.dumps(
        {
            "type": "response.output_text.delta",
            "response_id": "r1",
            "delta": " ",
            "metadata": {"type": "response.done"},
        }
    )
    pieces = [
        piece("r1", f"the key is {AWS_KEY[:9]}"),
        piece("r2", "Hello"),
        over("r2"),
        odd,
        piece("r1", f"{AWS_KEY[9:]} ok"),
        over("r1"),
    ]
    dialogue.providers.reply = lambda _: [pieces[0], *pieces[1:3], *pieces[4:]]
    with open_socket(tenant) as socket:
        socket.send(say("hello"))
        said = [json.loads(socket.recv()) for _ in range(5)]
    text = "".join(
        one.get("delta", "") for one in said if one.get("response_id") == "r1"
    )
    assert AWS_KEY not in text
    assert text.endswith("] ok")
    dialogue.providers.reply = lambda _: [pieces[0], odd]
    with open_socket(tenant) as socket:
        socket.send(say("hello"))
        with pytest.raises(TimeoutError):
            assert AWS_KEY[:9] not in str(socket.recv(timeout=1))


LIVE = "wss://generativelanguage.googleapis.com/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


@pytest.mark.parametrize("command", ["git", "ls -la", "sk", "curl https://x.y"])
def test_a_tool_that_is_asked_for_is_asked_for_at_once(
    dialogue: House, tenant: Tenant, command: str
) -> None:
    """The provider waits for its result, so nothing more would come."""
    call = {
        "toolCall": {
            "functionCalls": [
                {"id": "1", "name": "shell", "args": {"command": command}}
            ]
        }
    }
    dialogue.providers.reply = lambda _: [json.dumps(call)]
    with open_socket(tenant, LIVE) as socket:
        socket.send(
            json.dumps(
                {
                    "clientContent": {
                        "turns": [{"role": "user", "parts": [{"text": "hello"}]}],
                        "turnComplete": True,
                    }
                }
            )
        )
        assert json.loads(socket.recv(timeout=PATIENCE)) == call


def test_every_message_has_an_end_in_the_audit(dialogue: House, tenant: Tenant) -> None:
    dialogue.providers.reply = lambda _: [
        json.dumps({"type": "session.updated", "session": {"id": "s"}})
    ]
    with open_socket(tenant) as socket:
        for number in range(4):
            socket.send(say(f"message {number}"))
            socket.recv()
    # each with its completion, or it would wait for ever
    assert len(tenant.audit(5)) == 5


def test_pings_are_answered_here_and_carry_nothing_on(
    dialogue: House, tenant: Tenant
) -> None:
    with open_socket(tenant) as socket:
        assert socket.ping(AWS_KEY.encode()) >= 0


def test_a_version_that_nobody_speaks_any_more_is_refused(tenant: Tenant) -> None:
    assert (
        refused(
            tenant,
            "https://api.openai.com/v1/realtime",
            "-H",
            "Sec-WebSocket-Version: 8",
        )[0]
        == "426"
    )


def test_a_message_that_is_too_large_ends_the_dialogue(
    dialogue: House, tenant: Tenant
) -> None:
    with open_socket(tenant) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.send("x" * (33 * 1024 * 1024))
        socket.recv()
        socket.recv()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
    assert "too_large" in {row["reason"] for row in tenant.audit(2)}


def test_messages_are_calls_and_too_many_end_the_dialogue(dialogue: House) -> None:
    tenant = dialogue.tenant(max_requests_per_minute=2)
    with open_socket(tenant) as socket:
        for _ in range(4):  # two, and the burst's third
            socket.send(say("hello"))
        told = json.loads(socket.recv())
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()
    assert "may make 2 requests a minute" in json.dumps(told)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
    assert [row["reason"] for row in tenant.audit(5) if row["status"] == "BLOCK"] == [
        "rate_limit"
    ]


def test_what_asks_for_an_answer_is_a_call_whatever_it_says_and_its_tokens_are_counted_at_once(
    dialogue: House,
) -> None:
    dialogue.providers.reply = lambda _: [delta("x"), done()]
    tenant = dialogue.tenant(max_tokens_per_day=20)  # an answer costs 16
    with open_socket(tenant) as socket:
        for answers in (1, 2):
            socket.send(json.dumps({"type": "response.create"}))
            assert [json.loads(socket.recv())["type"] for _ in range(2)] == [
                "response.output_text.delta",
                "response.done",
            ]
            # while the socket is open
            assert wait_until(
                lambda answers=answers: spent(dialogue, tenant) == 16 * answers,
                PATIENCE,
            )
        socket.send(json.dumps({"type": "response.create"}))
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, "tokens a day" in closed.value.rcvd.reason) == (
        1008,
        True,
    )


def spent(house: House, tenant: Tenant) -> int:
    """The tokens of today that Redis knows of."""
    assert house.stack.engines is not None
    client: Any = redis.Redis.from_url(house.stack.engines.redis_url)
    return sum(
        int(tokens)
        for key in client.scan_iter(f"ef:1:spent:{{{tenant.id}}}:*")
        for tokens in client.hvals(key)
    )


def test_a_key_that_ends_ends_its_dialogues(dialogue: House) -> None:
    tenant = dialogue.tenant()
    with open_socket(tenant) as socket:
        dialogue.stack.control.delete(f"/v1/tenants/{tenant.id}")
        assert wait_until(lambda: tenant.connect_status() == 407, PATIENCE)
        socket.send(say("hello"))
        told = json.loads(socket.recv())
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()
    assert "has ended" in told["error"]["message"]
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008


def refused(tenant: Tenant, url: str, *words: str) -> tuple[str, str]:
    """How an upgrade is answered."""
    done = tenant.curl("-w", "\n%{http_code}", "--http1.1", *UPGRADE, *words, url)
    body, _, status = done.stdout.rpartition("\n")
    return status, body


def test_where_nobody_knows_what_is_spoken_it_is_refused_so_that_clients_fall_back(
    tenant: Tenant,
) -> None:
    assert refused(tenant, "https://api.openai.com/v1/unknown")[0] == "426"
    assert tenant.audit(1)[0]["reason"] == "upgrade"


DICTATION = "api.anthropic.com/api/ws/speech_to_text/voice_stream"


def test_dictation_passes_unread_and_flagged(dialogue: House, tenant: Tenant) -> None:
    """Claude Code has no other way to hear: a refusal took it away."""
    dialogue.providers.reply = lambda said: ["heard", said]
    with open_socket(tenant, f"wss://{DICTATION}?encoding=linear16") as socket:
        socket.send("not JSON, and no format that anybody lists")
        assert [socket.recv(), socket.recv()] == [
            "heard",
            "not JSON, and no format that anybody lists",
        ]
    (row,) = tenant.audit(1)
    assert (row["status"], row["coverage"]) == ("FLAG", "none")
    assert row["unreadable"] == ["unknown_path"]
    completion = row["completion"]
    assert (completion["outcome"], completion["status"]) == ("ok", 101)
    assert (completion["bytes_up"], completion["bytes_down"]) == (42, 47)


def test_strict_refuses_what_it_cannot_read(house: House) -> None:
    tenant = house.tenant("strict")
    assert refused(tenant, f"https://{DICTATION}")[0] != "101"
    (row,) = tenant.audit(1)
    assert (row["status"], row["unreadable"]) == ("BLOCK", ["unknown_path"])
