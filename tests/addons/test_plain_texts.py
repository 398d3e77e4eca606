"""The quick reader of whole answers gives what the thorough one gives, or leaves the answer to it."""

import json
from dataclasses import asdict

from hypothesis import example, given
from hypothesis import strategies as st

from addons.answers.answer import judge_whole
from addons.answers.plain_texts import LONGEST, MAX_DEPTH, read_plain
from addons.answers.texts import CALLS, COMPLETE, KEYS, MEDIA, AnswerReader
from bench.load import ANSWER
from rules.exchange import Exchange, Unreadable
from rules.load import Library
from rules.sources import shipped

NAMES = st.sampled_from(
    sorted({*KEYS, *COMPLETE, *MEDIA, *CALLS} - {"delta"})
) | st.sampled_from(("delta", "x", 'a"b', "ключ", "\\u0022", "thinking", "logprobs"))  # fmt: skip
TEXTS = (
    st.text(max_size=8)
    | st.sampled_from(('say "hi"', "\\", "function_call", "mcp_tool_use", "assistant", "1234567", "a\nb"))
    | st.sampled_from(("QUJD" * 200, "word " * 150))
)  # fmt: skip
SCALARS = (
    TEXTS.map(lambda text: json.dumps(text))
    | TEXTS.map(lambda text: json.dumps(text, ensure_ascii=False))
    | st.integers(-(10**20), 10**20).map(str)
    | st.sampled_from(("true", "false", "null", "NaN", "1.5", "1e9", "123456.25", "-0", '"\\u0022"', '"\\ud800"'))
)  # fmt: skip


def _containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = st.tuples(NAMES, inner).map(lambda pair: f"{json.dumps(pair[0])}: {pair[1]}")  # fmt: skip
    return st.lists(members, max_size=5).map(
        lambda pairs: "{" + ", ".join(pairs) + "}"
    ) | st.lists(inner, max_size=5).map(lambda items: "[" + ",".join(items) + "]")


# Written by hand: keys may stand twice, and constants that are no JSON may occur.
DOCUMENTS = st.recursive(SCALARS, _containers, max_leaves=25)
RULES = Library(shipped()).rulebook("default")


def same(body: bytes) -> bool:
    """Whether the quick reader read it; what it gives must be what the other one gives."""
    quick, thorough = read_plain(body), AnswerReader(streams=False).read(body)
    if quick is None:
        return False
    assert not isinstance(thorough, Unreadable)
    assert quick.parts == [piece.part for piece in thorough.pieces]
    assert quick.document == thorough.document
    assert (thorough.unreadable, thorough.bound) == ((), ())
    return True


@given(DOCUMENTS)
@example('{"a": 1, "a": 2}')
@example('{"text": "\\u0022"}')
@example('{"data": [' + "1," * 70 + "1]}")
def test_both_readers_give_the_same_parts_of_any_document(document: str) -> None:
    same(document.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_left(body: bytes) -> None:
    same(body)


def test_an_ordinary_answer_is_read_by_the_quick_one() -> None:
    escaped = json.dumps({"choices": [{"message": {"role": "assistant", "content": 'a "b"\n\\ é'}, "logprobs": None}]})  # fmt: skip
    assert same(ANSWER) and same(escaped.encode())


def test_what_is_not_plain_is_left_to_the_other_one() -> None:
    call = {"choices": [{"message": {"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}}]}  # fmt: skip
    for document in (
        call,
        {"type": "function_call", "text": "x"},
        {"b64_json": "QUJD" * 200},
        {"choices": [{"logprobs": {"content": []}}]},
        {"signature": "x"},
        {"delta": {"name": "x"}},
    ):
        assert not same(json.dumps(document).encode())
    assert not same(b'{"text": "a", "text": "b"}')  # the other one says why
    lists = MAX_DEPTH - 1  # in the object
    deep = "[" * lists + "1" + "]" * lists
    assert same(f'{{"x":{deep}}}'.encode()) and not same(f'{{"x":[{deep}]}}'.encode())
    long = json.dumps({"text": "a" * LONGEST}).encode()
    assert not same(long) and same(b'{"text":"' + b"a" * (LONGEST - 11) + b'"}')


@given(DOCUMENTS)
def test_the_verdict_on_an_answer_is_the_same_by_both(document: str) -> None:
    """An encoding without a meaning takes the long way."""
    body = f'{{"choices":[{{"message":{{"content":"mail jane.doe@acme-corp.com"}}}}],"x":{document}}}'  # fmt: skip
    raw = body.encode("utf-8", "surrogatepass")
    context = Exchange(direction="response", host="api.openai.com")
    quick, long = (
        judge_whole(RULES, context, raw, "application/json", encoding, key=b"k")
        for encoding in ("", "identity, none")
    )
    assert asdict(quick) == asdict(long)
