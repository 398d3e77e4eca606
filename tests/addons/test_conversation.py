"""A call that is read as the next turn of the one before is read as it would be whole, or is read whole."""

import json
from collections.abc import Iterator
from unittest import mock

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from addons.providers import FORMATS, json_call, json_conversation, json_reading
from addons.providers.json_conversation import LONGEST, SHORTEST
from addons.providers.json_reading import LOOSE, MOST_NODES, MOST_PARTS
from addons.providers.provider import Call
from rules.exchange import Unreadable
from rules.leaves import MAX_NODES

PLAIN = ["openai-chat", "anthropic-messages", "ollama", "cohere-chat"]
TEXTS = st.text(max_size=6) | st.sampled_from(("you said \"hi\"", "\\", "1234567", "c1", "c2", "Bash", "ls -la"))  # fmt: skip
STRINGS = TEXTS.map(json.dumps) | TEXTS.map(lambda text: json.dumps(text, ensure_ascii=False)) | st.sampled_from(('"\\u0022"', '"a\\/b"', '"\\ud800"'))  # fmt: skip
SCALARS = STRINGS | st.integers(-(10**12), 10**12).map(str) | st.sampled_from(("true", "null", "1.50", "-0", "12345678.250"))  # fmt: skip
ROLES = st.sampled_from(('"user"', '"assistant"', '"system"', '"tool"', '"Assistant"', '"x"'))  # fmt: skip
GAPS = st.sampled_from(("", " ", "\n  "))


def written(members: list[tuple[str, str]], gap: str) -> str:
    """A JSON object of members as they are written."""
    return "{" + f",{gap}".join(f'"{name}":{gap}{value}' for name, value in members) + gap + "}"  # fmt: skip


@st.composite
def messages(draw: st.DrawFn) -> str:
    """A message as clients write it, and now and then as none does."""
    gap, role = draw(GAPS), ("role", draw(ROLES))
    kind = draw(st.sampled_from(("plain", "plain", "turned", "blocks", "call", "result", "thinking", "other", "twice")))  # fmt: skip
    text = draw(STRINGS)
    if kind == "plain":
        return written([role, ("content", text)], gap)
    if kind == "turned":
        return written([("content", text), role], gap)
    if kind == "blocks":
        more = draw(st.sampled_from(([], [("cache_control", '{"type":"ephemeral"}')])))
        block = written([("type", '"text"'), ("text", text), *more], gap)
        return written([role, ("content", f"[{block},{gap}{block}]")], gap)
    id = draw(st.sampled_from(('"c1"', '"c2"', '"c3"')))
    if kind == "call":
        function = written([("name", draw(STRINGS)), ("arguments", json.dumps('{"file_path": "a.py"}'))], gap)  # fmt: skip
        calls = written([("id", id), ("type", '"function"'), ("function", function)], gap)  # fmt: skip
        use = written([("type", '"tool_use"'), ("id", id), ("name", '"Read"'), ("input", '{"file_path": "b.py"}')], gap)  # fmt: skip
        return written([role, ("tool_calls", f"[{calls}]"), ("content", f"[{use}]")], gap)  # fmt: skip
    if kind == "result":
        block = written([("type", '"tool_result"'), ("tool_use_id", id), ("content", text)], gap)  # fmt: skip
        return written([role, ("tool_call_id", id), ("content", f"[{block}]")], gap)
    if kind == "thinking":
        block = written([("type", '"thinking"'), ("thinking", text), ("signature", draw(STRINGS))], gap)  # fmt: skip
        return written([("role", '"assistant"'), ("content", f"[{block}]")], gap)
    if kind == "twice":
        return written([role, ("content", text), ("content", text)], gap)
    return draw(SCALARS)


ROOTS = st.lists(
    st.tuples(
        st.sampled_from(("model", "name", "role", "user", "tools", "stream", "type", "metadata", "x")),
        SCALARS | st.just('[{"type": "function", "function": {"name": "Read", "parameters": {}}}]') | st.just('{"user_id": "u1"}'),
    ),
    max_size=4,
    unique_by=lambda pair: pair[0],
)  # fmt: skip


def call_of(before: list[tuple[str, str]], said: list[str], after: list[tuple[str, str]], gap: str) -> bytes:  # fmt: skip
    list_of = "[" + gap + f"{gap},{gap}".join(said) + gap + "]"
    return written([*before, ("messages", list_of), *after], gap).encode("utf-8", "surrogatepass")  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def short() -> Iterator[None]:
    """Calls of any size are kept: those that Hypothesis makes are short, and would all be read whole.

    Only these two bounds are lowered; what reads and compares is the real thing.
    """
    with (
        mock.patch.object(json_call, "SHORTEST", 0),
        mock.patch.object(json_conversation, "SAMPLE", 16),
    ):
        yield


def same(format: str, first: bytes, second: bytes) -> bool:
    """Whether the second call is read as the next turn of the first; if it is, it is the same call."""
    read = FORMATS[format].read_call(first, "/api/chat", "m")
    whole = FORMATS[format].read_call(second, "/api/chat", "m")
    if isinstance(read, Unreadable) or read.conversation is None:
        return False
    more = read.conversation.more(second)
    call = read.conversation.next(more, "/api/chat", "m") if more is not None else None
    if call is None:
        return False
    assert isinstance(whole, Call)
    alike(call, whole)
    assert second[: read.conversation.cut] == first[: read.conversation.cut]
    if (following := call.conversation) is not None:
        between = following.more(second)
        assert between is not None
        assert whole.conversation is None or following.size == whole.conversation.size
        assert second[following.cut :].startswith(between)
    return True


def alike(call: Call, whole: Call) -> None:
    """All that is told of a call."""
    for name in ("model", "stream", "parts", "unreadable", "user", "documents"):
        assert getattr(call, name) == getattr(whole, name)
    results = [number for number, part in enumerate(whole.parts) if part.kind == "tool_result"]  # fmt: skip
    for known in ({}, {"c1": "known.py"}):
        assert call.sources(known, results) == whole.sources(known, results)


@given(st.sampled_from(PLAIN), ROOTS, st.lists(messages(), min_size=3, max_size=7), ROOTS, GAPS, st.lists(messages(), max_size=4), st.integers(0, LOOSE), st.data())  # fmt: skip
def test_the_next_turn_is_read_as_it_is_whole(format: str, before: list[tuple[str, str]], said: list[str], after: list[tuple[str, str]], gap: str, more: list[str], changed: int, data: st.DataObject) -> None:  # fmt: skip
    names = {name for name, _ in before}
    after = [pair for pair in after if pair[0] not in names]
    first = call_of(before, said, after, gap)
    turns = said[: len(said) - changed] + more
    if data.draw(st.booleans()):
        second = call_of(before, turns, after, gap)
    else:  # one byte is another, or the end is
        second = bytearray(call_of(before, turns, after, gap))
        at = data.draw(st.integers(0, len(second) - 1))
        second[at] = data.draw(st.sampled_from(b'"],}{[ x\\0'))
    same(format, first, bytes(second))


@given(st.sampled_from(PLAIN), st.lists(messages(), min_size=3, max_size=5), st.lists(st.lists(messages(), max_size=3), min_size=2, max_size=5))  # fmt: skip
def test_many_turns_one_after_another_are_read_as_each_is_whole(format: str, said: list[str], turns: list[list[str]]) -> None:  # fmt: skip
    call = FORMATS[format].read_call(call_of([], said, [("model", '"m"')], " "), "/", "")  # fmt: skip
    for more in turns:
        assume(isinstance(call, Call) and call.conversation is not None)
        assert isinstance(call, Call) and call.conversation is not None
        said = [*said, *more]
        body = call_of([], said, [("model", '"m"')], " ")
        whole = FORMATS[format].read_call(body, "/", "")
        between = call.conversation.more(body)
        assume(between is not None)
        assert between is not None
        following = call.conversation.next(between, "/", "")
        assume(following is not None)
        assert following is not None and isinstance(whole, Call)
        alike(following, whole)
        call = following


SAID = [f'{{"role":"user","content":"{number} {"of it " * 9}"}}' for number in range(6)]
MODEL = [("model", '"gpt-5.2"')]


@pytest.mark.parametrize("format", PLAIN)
def test_ordinary_turns_are_not_read_whole(format: str) -> None:
    """Else the tests above would prove nothing."""
    first = call_of(MODEL, SAID, [("stream", "true")], "")
    assert same(format, first, call_of(MODEL, [*SAID, *SAID], [("stream", "true")], ""))
    assert same(format, first, call_of(MODEL, SAID, [("stream", "true")], ""))
    assert same(format, first, call_of(MODEL, SAID[:4], [("stream", "true")], ""))
    marked = SAID[5].replace('"}', '","cache_control":{"type":"ephemeral"}}')
    assert same(format, call_of(MODEL, [*SAID[:5], marked], [], ""), call_of(MODEL, [*SAID, marked], [], ""))  # fmt: skip


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(call_of(MODEL, SAID[1:], [], ""), id="the oldest is gone"),
        pytest.param(call_of(MODEL, SAID, [("stream", "true")], ""), id="another end"),
        pytest.param(call_of(MODEL, [*SAID, SAID[0].replace("}", ',"role":"x"}')], [], ""), id="a key twice"),
        pytest.param(call_of(MODEL, SAID, [], "").replace(b"]}", b'],"messages":[]}'), id="the list twice"),
        pytest.param(call_of(MODEL, [*SAID, "7],[7"], [], ""), id="two lists"),
        pytest.param(call_of(MODEL, [*SAID, '{"a":"\\ud800"}'], [], ""), id="half a character"),
        pytest.param(call_of(MODEL, [*SAID, '{"a":' * 200 + "1" + "}" * 200], [], ""), id="deep"),
        pytest.param(call_of(MODEL, [*SAID[:3], SAID[3] + ".5", *SAID[4:]], [], ""), id="a number behind"),
        pytest.param(call_of(MODEL, SAID, [], "")[:-1], id="cut off"),
    ],
)  # fmt: skip
def test_what_is_unusual_is_read_whole(second: bytes) -> None:
    assert not same("openai-chat", call_of(MODEL, SAID, [], ""), second)


@example("openai-chat", '{"role":"assistant","content":[{"type":"thinking","thinking":"a","signature":"b"}]}')  # fmt: skip
@given(st.sampled_from(PLAIN), messages())
def test_a_signature_that_comes_or_goes(format: str, message: str) -> None:
    """Whether texts are looked up for signatures depends on the whole body."""
    signed = '{"role":"assistant","content":[{"type":"thinking","thinking":"a","\\u0073ignature":"b"}]}'  # fmt: skip
    same(format, call_of(MODEL, [signed, *SAID], [], ""), call_of(MODEL, [signed, *SAID, message], [], ""))  # fmt: skip
    same(format, call_of(MODEL, [signed, *SAID, message], [], ""), call_of(MODEL, [signed, *SAID], [], ""))  # fmt: skip


def test_bounds_are_those_of_a_whole_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of nodes, those of the beginning and the end count, too."""
    monkeypatch.setattr(json_reading, "MOST_PARTS", MAX_NODES)
    monkeypatch.setattr(json_reading, "MOST_NODES", MAX_NODES)
    parts, end = ('{"role":"user","content":[' + '"",' * (MAX_NODES // share) + '""]}' for share in (4, 3))  # fmt: skip
    first = call_of(MODEL, [parts, *SAID], [("tools", end)], "")
    for count, fits in ((1, True), (2, False)):
        second = call_of(MODEL, [parts, *SAID, *[parts] * count], [("tools", end)], "")
        assert len(second) < LONGEST
        assert same("openai-chat", first, second) is fits
        assert isinstance(FORMATS["openai-chat"].read_call(second, "/", ""), Call) is fits  # fmt: skip


def test_short_and_long_calls_are_not_kept() -> None:
    def keeps(length: int) -> bool:
        body = call_of(MODEL, SAID, [("x", json.dumps("x" * length))], "")
        call = FORMATS["openai-chat"].read_call(body, "/", "")
        return isinstance(call, Call) and call.conversation is not None

    base = len(call_of(MODEL, SAID, [("x", '""')], ""))
    # The bound itself, which the fixture of this module lowers.
    with mock.patch.object(json_call, "SHORTEST", SHORTEST):
        assert [keeps(size - base) for size in (SHORTEST - 1, SHORTEST, LONGEST, LONGEST + 1)] == [False, True, True, False]  # fmt: skip


def test_a_call_of_many_parts_or_nodes_is_not_kept() -> None:
    def keeps(item: str, count: int) -> bool:
        body = call_of(MODEL, SAID, [("tools", "[" + ",".join([item] * count) + "]")], "")  # fmt: skip
        call = FORMATS["openai-chat"].read_call(body, "/", "")
        return isinstance(call, Call) and call.conversation is not None

    assert keeps('"a"', MOST_PARTS - 40) and not keeps('"a"', MOST_PARTS + 40)
    assert keeps("[[]]", MOST_NODES // 2 - 40) and not keeps("[[]]", MOST_NODES // 2 + 40)  # fmt: skip


def test_a_conversation_that_has_become_long_is_read_whole() -> None:
    """Bounds of a whole reading that count bytes need not be asked for then."""
    said = [f'{{"role":"user","content":"{"x" * (LONGEST // 8)}"}}'] * 7
    first = call_of(MODEL, said, [], "")
    assert same("openai-chat", first, call_of(MODEL, [*said, SAID[0]], [], ""))
    assert not same("openai-chat", first, call_of(MODEL, [*said, said[0]], [], ""))


def test_short_messages_before_long_tools_are_a_beginning_too() -> None:
    """What is compared first must not reach into what may change."""
    said, tools = SAID[:4], [("tools", json.dumps("x" * 5000))]
    assert same("openai-chat", call_of([], said, tools, ""), call_of([], [*said, SAID[5]], tools, ""))  # fmt: skip


@pytest.mark.parametrize(("blanks", "fits"), [(200, True), (1_000, False)])
def test_blanks_that_nobody_writes_are_not_walked_through(blanks: int, fits: bool) -> None:  # fmt: skip
    for place in (b"}", b"]}"):
        first, second = (call_of(MODEL, said, [], "") for said in (SAID, [*SAID, SAID[0]]))  # fmt: skip
        wide = [body.removesuffix(place) + b" " * blanks + place for body in (first, second)]  # fmt: skip
        assert same("openai-chat", wide[0], wide[1]) is fits
