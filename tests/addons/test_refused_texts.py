"""After a refusal the same conversation with one more message passes, and nothing refused leaves."""

import json
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.calls.refused_texts import MAX_ENDS, MAX_REMINDERS, Candidates
from rules.evaluate import evaluate
from rules.exchange import Exchange, Part, Role
from rules.redact import splice
from rules.rulebook import Rulebook
from rules.sources import shipped
from rules.verdict import Verdict
from tests.support.shared import library

KEY = b"a tenant's own key"
REFUSED = "TLP:RED the plan for the harbour"
REMINDER = "<system-reminder>\nThe file list is empty.\n</system-reminder>"
Memory = dict[bytes, bytes]


@cache
def book() -> Rulebook:
    return library(shipped()).rulebook("default")


def call(*texts: str | tuple[Role, str]) -> Exchange:
    """A call of these texts; those without a role are a user's."""
    said = [text if isinstance(text, tuple) else ("user", text) for text in texts]
    parts = (Part(text, role, "text", n) for n, (role, text) in enumerate(said))  # type: ignore[arg-type]
    return Exchange(parts=tuple(parts))


def judged(exchange: Exchange, memory: Memory) -> tuple[Verdict, str]:
    """As `CallJudge` does it; the verdict, and what leaves."""
    verdict = evaluate(book(), exchange, key=KEY)
    if verdict.refusing:
        candidates = Candidates(exchange, verdict.refusing, KEY)
        old = candidates.old(memory)
        if old:
            exchange = Exchange(parts=exchange.parts, refused=old)
            verdict = evaluate(book(), exchange, key=KEY)
            candidates = Candidates(exchange, verdict.refusing, KEY)
        if verdict.refusing:
            for hash, beside in candidates.entries.items():
                memory.setdefault(hash, beside)
    if verdict.action == "BLOCK":
        return verdict, ""
    body = json.dumps([part.text for part in exchange.parts]).encode()
    return verdict, splice(body, verdict.edits).decode()


def in_turn(*calls: Exchange) -> list[str]:
    memory: Memory = {}
    return [judged(one, memory)[0].action for one in calls]


def test_the_next_message_passes_and_a_retry_does_not() -> None:
    memory: Memory = {}
    assert judged(call(REFUSED), memory)[0].action == "BLOCK"
    assert judged(call(REFUSED), memory)[0].action == "BLOCK"
    verdict, left = judged(call(REFUSED, "never mind, what is 2 + 2?"), memory)
    assert verdict.action == "REDACT"
    assert "harbour" not in left
    assert "never mind, what is 2 + 2?" in left


@pytest.mark.parametrize(
    "text",
    [
        f"{REFUSED}\nnever mind",
        f"{REFUSED}\n\nnever mind",
        f"{REFUSED}\n{REMINDER}\nnever mind",
        f"{REMINDER}\n{REFUSED}\n{REMINDER}\n\nnever mind\nand more\n",
    ],
)
def test_a_client_that_merges_messages_into_one_text_continues(text: str) -> None:
    memory: Memory = {}
    judged(call(REFUSED), memory)
    verdict, left = judged(call(text), memory)
    assert verdict.action == "REDACT"
    assert "harbour" not in left


def test_a_document_of_which_a_line_was_refused_does_not_leave() -> None:
    memory: Memory = {}
    assert judged(call("TLP:RED"), memory)[0].action == "BLOCK"
    verdict, left = judged(call("TLP:RED\nThe harbour plan: boats at 4711."), memory)
    assert verdict.action in ("BLOCK", "REDACT")
    assert "4711" not in left


@pytest.mark.parametrize(
    "texts",
    [
        (REFUSED, REMINDER),
        (f"{REFUSED}\n{REMINDER}",),
        (f"{REMINDER}\n{REFUSED}", REMINDER, ""),
        (f"{REFUSED}\n\n",),
    ],
)
def test_a_reminder_is_no_new_text(texts: tuple[str, ...]) -> None:
    assert in_turn(call(REFUSED), call(*texts)) == ["BLOCK", "BLOCK"]


def test_a_tools_result_and_its_follow_up() -> None:
    before = ("list the files", ("assistant", "I call a tool"))
    refused = call(*before, ("tool", REFUSED))
    after = call(*before, ("tool", REFUSED), "leave that file out")
    assert in_turn(refused, refused, after) == ["BLOCK", "BLOCK", "REDACT"]


@pytest.mark.parametrize(
    "after",
    [
        call(("system", REFUSED), "hello"),
        call(REFUSED, "TLP:RED another plan"),
        call(f"{REFUSED} and the other one", "hello"),
        call(f"{REFUSED}\nTLP:RED a second one"),
    ],
    ids=["system", "another", "longer", "merged"],
)
def test_what_is_not_the_refused_text_is_refused(after: Exchange) -> None:
    assert in_turn(call(REFUSED), after)[1] == "BLOCK"


def test_two_refusals_in_a_row_are_both_history() -> None:
    one, two = REFUSED, "TLP:RED the other plan"
    calls = (call(one), call(one, two), call(one, two), call(one, two, "hello"))
    assert in_turn(*calls) == ["BLOCK", "BLOCK", "BLOCK", "REDACT"]


def test_two_refusals_that_a_client_joins_are_both_history() -> None:
    one, two = REFUSED, "TLP:RED the other plan"
    calls = (call(one), call(f"{one}\n{two}"), call(f"{one}\n{two}\nhello"))
    assert in_turn(*calls) == ["BLOCK", "BLOCK", "REDACT"]
    more = call(f"{one}\n{two}\nhello\nand more")
    assert in_turn(*calls, more)[-1] == "REDACT"


def test_a_reminder_that_is_refused_itself_becomes_history() -> None:
    marked = f"<system-reminder>\n{REFUSED}\n</system-reminder>"
    calls = (call(marked, "hello"), call(marked, "hello"), call(marked, "hello", "hi"))
    assert in_turn(*calls) == ["BLOCK", "BLOCK", "REDACT"]


def test_a_tenant_does_not_know_what_another_was_refused() -> None:
    exchange = call(REFUSED)
    refusing = evaluate(book(), exchange).refusing
    ours, theirs = (Candidates(exchange, refusing, key).entries for key in (b"a", b"b"))
    assert not ours.keys() & theirs.keys()
    assert REFUSED.encode() not in repr(ours).encode()


harmless = st.text(
    st.characters(categories=("L", "N", "P", "Zs"), include_characters="\n"),
    max_size=40,
).filter(lambda text: "TLP" not in text.upper())
marked = st.tuples(harmless, harmless).map(
    lambda two: f"{two[0]}\nTLP:RED harbour {two[1]}"
)


@given(
    st.lists(harmless, max_size=4),
    st.lists(marked, min_size=1, max_size=3),
    st.booleans(),
    st.data(),
)
def test_the_same_conversation_and_one_more_message_passes(
    before: list[str], refused: list[str], merged: bool, data: st.DataObject
) -> None:
    """However the client joins them; and what was refused never leaves."""
    memory: Memory = {}
    texts = [*before, *refused]
    assert judged(call(*texts), memory)[0].action == "BLOCK"
    next = "the next message 4711"
    more = (
        call(
            *texts[:-1],
            f"{texts[-1]}{data.draw(st.sampled_from(['\n', '\n\n']))}{next}",
        )
        if merged
        else call(*texts, next)
    )
    verdict, left = judged(more, memory)
    assert verdict.action == "REDACT"
    assert "harbour" not in left
    assert merged or next in left


@given(st.text(st.sampled_from("<>/sx \n"), max_size=200))
def test_hashing_a_text_is_total(text: str) -> None:
    """Of any text, and no start reaches beyond it."""
    for extra in ("", "<system-reminder>", "</system-reminder>", REMINDER):
        whole = f"{text}{extra}{text}"
        candidates = Candidates(call(whole), (0,), KEY)
        known = dict.fromkeys(candidates.hashes, b"")
        assert all(0 <= end <= len(whole) for end in candidates.old(known).values())


@pytest.mark.parametrize(
    "text",
    [
        "<system-reminder>" * 60_000,
        f"{REMINDER}{REFUSED}" * (MAX_REMINDERS + 10),
        "x\n" * 500_000,
        " " * 1_000_000,
    ],
)
def test_a_hostile_text_is_hashed_no_oftener_than_it_is_bounded(text: str) -> None:
    assert len(Candidates(call(text), (0,), KEY).hashes) <= MAX_ENDS + 1
