"""What is remembered as clean is clean as what it was: no text of a call can pass for it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from addons.calls.clean_texts import CleanTexts, TenantCleanTexts
from addons.calls.reading import CallRequest, read
from addons.providers import FORMATS, Directory
from addons.providers.provider import Call
from rules.evaluate import evaluate
from rules.exchange import Exchange, Part
from rules.rulebook import Rulebook
from rules.scan import Apart
from rules.sources import shipped
from tests.support.shared import build

NOW = datetime(2026, 7, 1, tzinfo=UTC)
KEY = "AKIAQYLPMN5HHHFPZAM2"
SIXTY = "aB3dE5gH7jK9mN1pQ2rS" * 3
OPENAI = f"sk-proj-{SIXTY}T3BlbkFJ{SIXTY}"
LONG = "the river rises in the hills and runs past three towns"


@pytest.fixture(scope="module")
def book() -> Rulebook:
    return build("default", shipped())


class Seen(TenantCleanTexts):
    """Also tells what it was told."""

    def __init__(self, memory: CleanTexts):
        super().__init__(memory, memory.of("t", "1")._secret)
        self.added: list[str | Apart] = []

    def add(self, text: str | Apart) -> None:
        self.added.append(text)
        super().add(text)


def used(name: str, given: dict[str, str]) -> Exchange:
    block = {"type": "tool_use", "id": "c1", "name": name, "input": given}
    body = json.dumps({"model": "m", "messages": [{"role": "assistant", "content": [block]}]})  # fmt: skip
    call = FORMATS["anthropic-messages"].read_call(body.encode(), "/v1/messages", "")
    assert isinstance(call, Call)
    return Exchange(parts=call.parts)


def called_with(token: str) -> Exchange:
    """A call to OpenAI in whose head the token stands."""
    provider = Directory().of("api.openai.com")
    assert provider is not None
    fields = ((b"authorization", b"Bearer " + token.encode()),)
    body = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
    request = CallRequest(provider, "api.openai.com", "POST", "/v1/chat/completions", "", body, "", NOW, fields=fields)  # fmt: skip
    return read(request, "t").exchange


def spellings(name: Apart) -> Iterator[str]:
    """Texts that might pass for it."""
    yield name.text
    yield f"{name.kind:64}{name.text}"
    yield f"{name.kind} {name.text}"


@pytest.mark.parametrize(
    ("exchange", "kind"),
    [
        (used("bash", {"command": f"echo {KEY[:9]}''{KEY[9:]}"}), "commands"),
        (used("Write", {f"{KEY} is the key": LONG}), "label"),
        (called_with(OPENAI), "credential"),
    ],
    ids=["commands", "label", "credential"],
)  # fmt: skip
def test_what_is_clean_in_its_place_is_found_elsewhere(book: Rulebook, exchange: Exchange, kind: str) -> None:  # fmt: skip
    """In commands only commands are looked for, in a label not the name, and a client's own credential is none."""
    memory = CleanTexts()
    seen = Seen(memory)
    evaluate(book, exchange, clean=seen)
    apart = [one for one in seen.added if isinstance(one, Apart) and one.kind == kind]
    assert apart and apart[0] in memory.of("t", "1")
    for text in (text for one in apart for text in spellings(one)):
        alone = Exchange(parts=(Part(text, "user", "text", 0),))
        fresh, known = (evaluate(book, alone, clean=clean) for clean in (None, memory.of("t", "1")))  # fmt: skip
        assert known.action == fresh.action != "ALLOW", text
    assert apart[0] not in memory.of("t", "1").for_answers()
    assert apart[0] not in memory.of("other", "1")
