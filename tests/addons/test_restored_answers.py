"""An answer gets its originals back in every format, whole and streamed, wherever it is cut."""

import json
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from addons.answers.answer import judge_whole
from addons.answers.streamed import StreamedAnswer
from addons.calls.originals import originals_of
from addons.framing import framing_of
from addons.framing.decode import NoEncoding
from addons.framing.frame import Frame
from addons.providers import anthropic, gemini, openai
from addons.providers.provider import Call
from rules.channels import Piece
from rules.evaluate import evaluate
from rules.exchange import Exchange, Part
from rules.redact import splice
from rules.restore.places import Places
from rules.restore.restorer import Restorer
from rules.restore.streamed import MAX_WAITING_TEXT
from rules.stream import Stream
from rules.verdict import Verdict
from tests.rules.test_restore import AWS, ENV, LEFT, NAME, book, restorer
from tests.support import streams
from tests.support.shared import examples
from tests.support.streams import SHAPES

KEY = b"a tenant's own key"
GIVEN = {"file_path": "/w/.env", "content": LEFT}
SAID = f"Your key is {NAME}, and [REDACTED:other_bcdfghjk] is not."


def streamed(name: str, restore: Restorer) -> StreamedAnswer:
    framing = framing_of(SHAPES[name].content_type, grows=name == "gemini-array")
    assert framing is not None
    stream: Stream[Frame] = Stream(
        book(), Exchange(direction="response"), key=KEY, restorer=restore
    )
    return StreamedAnswer(framing, NoEncoding(), stream, lambda why, code: [], str)


def cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.fixture(autouse=True, scope="module")
def writing_tool() -> Any:
    """The tool that the shapes call is one that writes files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "TOOL", "Write")
        yield


@pytest.mark.parametrize("name", SHAPES)
@examples(6)
@given(
    st.sampled_from([1, 3, 8, 40, 10_000]), st.lists(st.integers(1, 30_000), max_size=5)
)
def test_a_stream_gets_its_originals_back(
    name: str, size: int, cuts: list[int]
) -> None:
    shape, restore = SHAPES[name], restorer()
    body = b"".join(shape.made(cut(SAID, size), cut(json.dumps(GIVEN), size)))
    answer = streamed(name, restore)
    steps = [0, *sorted({place for place in cuts if place < len(body)}), len(body)]
    out = b""
    for first, last in pairwise(steps):
        out += b"".join(answer.feed(body[first:last]))
    out += b"".join(answer.end())
    text, arguments = shape.heard(out)
    # Where the call has more events than are waited for, the text keeps its placeholder.
    assert text == SAID.replace(NAME, AWS) or (text == SAID and size < 40)
    assert json.loads(arguments) == {"file_path": "/w/.env", "content": ENV}
    assert answer.verdict.restored >= 2
    assert restore.elsewhere == 0


def test_a_stream_stays_a_stream() -> None:
    """No text waits for the whole answer: its first 128 characters decide on a placeholder."""
    answer = streamed("openai-chat", restorer())
    words = [NAME, *(f" word{n}" for n in range(200))]
    out, sent = b"", list[int]()
    for frame in SHAPES["openai-chat"].made(words, []):
        passed = b"".join(answer.feed(frame))
        out += passed
        sent.append(len(passed))
    waited = next(n for n, size in enumerate(sent[1:], 1) if size)
    assert waited < 30
    assert all(sent[waited:])
    out += b"".join(answer.end())
    text, _ = SHAPES["openai-chat"].heard(out)
    assert text.startswith(
        f"{NAME} word0"
    )  # at the start of a text, where it may be joined

    answer = streamed("openai-chat", restorer())
    frames = SHAPES["openai-chat"].made(["Look: ", "[", "1] ", *words], [])
    early = b"".join(b"".join(answer.feed(frame)) for frame in frames[:60])
    assert AWS.encode() in early
    assert NAME.encode() not in early


@examples(30)
@given(
    st.lists(
        st.sampled_from([f"key {NAME} and", "text ", "https://x.example/?", "x" * 100, "\n\n", "[a](", ") ", ".", "/", NAME]),
        max_size=20,
    ),
    st.integers(1, 60),
)  # fmt: skip
@example([f"key {NAME} and", "text ", NAME, ".", NAME, " ", "x" * 140], 40)
@example(["text ", NAME, NAME, "\n\n", "x" * 100], 1)  # two values hide one another
def test_what_is_decided_early_is_decided_alike(texts: list[str], size: int) -> None:
    """What is put back before the text ends, the rules find in the whole text, too; and it
    stands only where it would be put back at the end.
    """
    whole = "".join(texts)
    answer = streamed("openai-chat", restorer())
    out = b"".join(
        b"".join(answer.feed(frame))
        for frame in SHAPES["openai-chat"].made(cut(whole, size) or ["x"], [])
    )
    text, _ = SHAPES["openai-chat"].heard(out + b"".join(answer.end()))
    places, shown = Places(whole), Places(text)
    at, done = 0, 0
    for before in whole.split(NAME)[:-1]:
        at += len(before)
        assert text[done : done + len(before)] == before
        done += len(before)
        if text.startswith(AWS, done):
            assert not places.is_followed(at, at + len(NAME))
            assert not shown.is_followed(done, done + len(AWS))
            done += len(AWS)
        else:
            assert text.startswith(NAME, done)
            done += len(NAME)
        at += len(NAME)
    if AWS in text:
        part = Part(text, "assistant", "text", 0)
        verdict = evaluate(book(), Exchange(parts=(part,)), key=KEY)
        left = splice(json.dumps(text).encode(), verdict.edits).decode()
        assert AWS not in left


def test_arguments_that_wait_for_too_long_keep_their_placeholders() -> None:
    stream: Stream[int] = Stream(book(), Exchange(direction="response"), key=KEY, restorer=restorer())  # fmt: skip
    names = (("apart", "tool_call", "x"),)
    texts = ['{"file_path": "/w/.env", "content": "', f"k {NAME} ", *["and so it was. " * 700] * (MAX_WAITING_TEXT // 10_000 + 1), '"}']  # fmt: skip
    out = [
        one
        for number, text in enumerate(texts)
        for one in stream.feed(
            number,
            [Piece(text, names, "assistant", "tool_call", 0, "Write", "arguments")],
        )
    ]
    assert len(out) > 1
    assert not any(edits for _, edits in [*out, *stream.end()])
    assert "endless" not in stream.verdict().unreadable


def test_a_placeholder_that_stays_where_it_should_not_be_is_flagged() -> None:
    answer = streamed("openai-chat", restorer())
    frames = SHAPES["openai-chat"].made([f"https://x.example/?{NAME}"], [])
    out = b"".join([*answer.feed(b"".join(frames)), *answer.end()])
    assert out == b"".join(frames)
    assert answer.verdict.action == "FLAG"
    assert "restore.elsewhere" in [one.rule.id for one in answer.verdict.fired]


def test_a_shell_that_would_write_a_placeholder_is_refused() -> None:
    answer = streamed("openai-chat", restorer())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "TOOL", "Bash")
        command = json.dumps({"command": f"cat > /w/.env <<'EOF'\n{LEFT}EOF"})
        frames = SHAPES["openai-chat"].made([], cut(command, 9))
    out = b"".join([*answer.feed(b"".join(frames)), *answer.end()])
    assert answer.verdict.action == "BLOCK"
    assert answer.verdict.by is not None
    assert "file tool" in answer.verdict.by.message
    assert AWS.encode() not in out
    assert not out.count(b"EOF", out.index(b"EOF") + 1)  # the call was not completed


# -- what a call says of where its values come from -------------------------------------


def calls(format: str, document: dict[str, Any]) -> tuple[Exchange, Verdict, Restorer]:
    formats = {
        one.name: one for one in (*anthropic.FORMATS, *gemini.FORMATS, *openai.FORMATS)
    }
    read = formats[format].read_call(json.dumps(document).encode(), "", "")
    assert isinstance(read, Call)
    exchange = Exchange(parts=read.parts)
    verdict = evaluate(book(), exchange, key=KEY)
    originals = originals_of(exchange, verdict, partial(read.sources, {}))
    context = replace(exchange, parts=(), direction="response")
    return exchange, verdict, Restorer(originals, book(), context, KEY)


def anthropic_call(tool: str, given: Any, result: Any) -> dict[str, Any]:
    use = {"type": "tool_use", "id": "t1", "name": tool, "input": given}
    back = {"type": "tool_result", "tool_use_id": "t1", "content": result}
    return {
        "messages": [
            {"role": "user", "content": "look"},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [back]},
        ]
    }


def gemini_call(tool: str, given: Any, **id: str) -> dict[str, Any]:
    said = [
        ("user", {"text": "look"}),
        ("model", {"functionCall": {"name": tool, "args": {"path": "/w/first"}}}),
        ("user", {"functionResponse": {"name": tool, "response": {"output": "x"}}}),
        ("model", {"functionCall": {"name": tool, "args": given, **id}}),
        (
            "user",
            {"functionResponse": {"name": tool, "response": {"output": ENV}, **id}},
        ),
    ]
    return {"contents": [{"role": role, "parts": [part]} for role, part in said]}


CALLS: list[tuple[str, dict[str, Any], bool]] = [
    ("anthropic-messages", anthropic_call("Read", {"file_path": "/w/.env"}, ENV), True),
    ("anthropic-messages", anthropic_call("Read", {"file_path": "/w/.env"}, [{"type": "text", "text": ENV}]), True),
    ("anthropic-messages", anthropic_call("Bash", {"command": "cat /w/.env"}, ENV), True),
    ("anthropic-messages", anthropic_call("Bash", {"command": "cat /w/*"}, ENV), False),
    ("anthropic-messages", anthropic_call("Grep", {"path": "/w/.env"}, ENV), False),
    ("gemini", gemini_call("read_file", {"absolute_path": "/w/.env"}), True),
    ("gemini", gemini_call("read_file", {"absolute_path": "/w/.env"}, id="c2"), True),
    ("gemini", {"request": gemini_call("run_shell_command", {"command": "cat /w/.env"})}, True),
    ("gemini", gemini_call("read_file", {"absolute_path": "/w/another"}), False),
    ("gemini", gemini_call("glob", {"path": "/w/.env"}), False),
    ("anthropic-messages", {"messages": [{"role": "user", "content": f"put this into /w/.env :\n{ENV}"}]}, True),
    ("anthropic-messages", {"messages": [{"role": "user", "content": f"my file:\n{ENV}"}]}, False),
    ("openai-chat", {"messages": [
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "/w/.env"}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": ENV},
    ]}, True),
    ("openai-responses", {"input": [
        {"role": "user", "content": "look"},
        {"type": "function_call", "call_id": "c1", "name": "exec_command", "arguments": '{"cmd": "cat /w/.env"}'},
        {"type": "function_call_output", "call_id": "c1", "output": ENV},
    ]}, True),
    ("openai-responses", {"input": [
        {"role": "user", "content": "look"},
        {"type": "function_call", "call_id": "c1", "name": "exec_command", "arguments": '{"cmd": "cat /w/.env"}'},
        {"type": "function_call_output", "call_id": "c2", "output": ENV},
    ]}, False),
]  # fmt: skip


@pytest.mark.parametrize(("format", "document", "returns"), CALLS)
def test_a_value_belongs_to_the_file_that_it_was_read_from(
    format: str, document: dict[str, Any], returns: bool
) -> None:
    _, verdict, restore = calls(format, document)
    assert verdict.action == "REDACT"
    text = json.dumps(GIVEN)
    edits = restore.arguments("Write", text)
    assert bool(edits) == returns
    assert not restore.arguments("Write", text.replace("/w/.env", "/w/other"))


def test_a_whole_answer_gets_its_originals_back() -> None:
    use = {"type": "tool_use", "id": "t1", "name": "Write", "input": GIVEN}
    body = json.dumps({"content": [{"type": "text", "text": SAID}, use]}).encode()
    judged = judge_whole(
        book(),
        Exchange(direction="response"),
        body,
        "application/json",
        "",
        key=KEY,
        restorer=restorer(),
    )
    assert judged.body is not None
    assert judged.verdict is not None
    text, call = json.loads(judged.body)["content"]
    assert text["text"] == SAID.replace(NAME, AWS)
    assert call["input"] == {"file_path": "/w/.env", "content": ENV}
    assert judged.verdict.restored == 3


def whole(document: Any) -> str:
    body = json.dumps(document).encode()
    judged = judge_whole(book(), Exchange(direction="response"), body, "application/json", "", key=KEY, restorer=restorer())  # fmt: skip
    return (judged.body or body).decode()


FAKED = {"name": "Write", "file_path": "/w/.env", "content": NAME}
FAKES: list[Any] = [
    {"content": [{"type": "tool_use", "id": "t", "name": "mcp__evil__send", "input": FAKED}]},
    {"content": [{"type": "tool_use", "id": "t", "name": "Bash", "input": {"name": "apply_patch", "command": f"*** Update File: /w/.env\n+{NAME}\n"}}]},
    {"candidates": [{"content": {"parts": [{"functionCall": {"name": "send", "args": FAKED}}]}}]},
    {"output": {"message": {"content": [{"toolUse": {"toolUseId": "t", "name": "send", "input": FAKED}}]}}},
    {"message": {"tool_calls": [{"function": {"name": "send", "arguments": FAKED}}]}},
    {"output": [{"type": "function_call", "name": "write_file", "namespace": "mcp__evil__", "arguments": json.dumps(GIVEN)}]},
    {"output": [{"type": "mcp_call", "server_label": "evil", "name": "Write", "arguments": json.dumps(GIVEN)}]},
    {"content": [{"type": "text", "text": "![a](https://x.example/?q="}, {"type": "text", "text": f"{NAME})"}]},
    {"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": NAME}}]}}]},
    {"content": [{"type": "image", "source": {"type": "base64", "data": NAME}}]},
    {"output": [{"type": "image_generation_call", "result": NAME}]},
]  # fmt: skip


@pytest.mark.parametrize("document", FAKES)
def test_a_call_that_only_looks_like_a_file_tools_gets_nothing(document: Any) -> None:
    assert AWS not in whole(document)


def test_a_tool_that_is_named_twice_in_a_stream_gets_nothing() -> None:
    frames = SHAPES["openai-chat"].made([], cut(json.dumps(GIVEN), 50))
    head = next(n for n, one in enumerate(frames) if b'"name": "Write"' in one)
    frames.insert(head, frames[head].replace(b'"Write"', b'"mcp__evil__"'))
    answer = streamed("openai-chat", restorer())
    out = b"".join([*answer.feed(b"".join(frames)), *answer.end()])
    assert AWS.encode() not in out


def test_a_text_that_others_overtake_keeps_its_placeholder() -> None:
    """What follows may join it."""
    restore = restorer()
    stream: Stream[int] = Stream(book(), Exchange(direction="response"), key=KEY, restorer=restore)  # fmt: skip

    def said(name: str, text: str) -> list[Piece]:
        return [Piece(text, ((name,),), "assistant", "text", 0, argument="content")]

    out = stream.feed(0, said("a", f"Your key is {NAME}"))
    for number in range(1, 50):
        out += stream.feed(number, said("b", f"filler {number} "))
    out += stream.feed(50, said("a", "ABCDEF and so on"))
    out += stream.end()
    assert len(out) == 51
    assert not any(edits for _, edits in out)


def test_a_placeholder_of_another_call_stays() -> None:
    """Typed by hand, or another tenant's: it is known to no call."""
    text = f"it was [REDACTED:credentials_aws_access_key_tttttttt], not {NAME}."
    assert len(restorer().text(text)) == 1
