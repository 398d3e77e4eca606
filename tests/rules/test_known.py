"""Known values: found as they are and through every way of hiding that is undone, quiet beside them, and never written down."""

import base64
import html
import json
import random
import string
import unicodedata
import urllib.parse
from collections.abc import Callable

import pytest

from rules.evaluate import evaluate
from rules.exchange import Exchange, Part
from rules.known import (
    LONGEST,
    MAX_VALUES,
    NONE,
    KnownValue,
    KnownValues,
    complaint,
    mark_of,
)
from rules.load import Library
from rules.redact import splice
from rules.rulebook import Rulebook
from rules.sources import shipped

Way = Callable[[str], str]
SEED = random.Random(17)
LETTERS = string.ascii_letters + string.digits
EVERYTHING = LETTERS + "-_.!@#$%&/+=:;~^*()[]{}<>?|, 'äöéß€中\"\\"
VALUES = [
    *("".join(SEED.choices(LETTERS, k=length)) for length in (8, 9, 12, 16, 24, 40) for _ in range(4)),
    *("X" + "".join(SEED.choices(EVERYTHING, k=length)) + "9" for length in (7, 10, 18, 30) for _ in range(6)),
    "db7.corp.example.internal",
    "K-4471-22-98",
    "4471 2298 1007",
    "p@ss wörd&<x>",
    unicodedata.normalize("NFD", "Pässwörd-1x"),
]  # fmt: skip


def _base64_of(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


WAYS: dict[str, Way] = {
    "plain": lambda value: value,
    "in a word": lambda value: f"my_{value}_x",
    "in JSON": lambda value: json.dumps({"a": value}),
    "in JSON in JSON": lambda value: json.dumps(json.dumps({"a": value})),
    "in JSON, as it is": lambda value: json.dumps({"a": value}, ensure_ascii=False),
    "every character escaped": lambda value: json.dumps("".join(rf"\u{ord(one):04x}" for one in value))[1:-1],
    "in a URL": lambda value: urllib.parse.quote(value, safe=""),
    "in a form": lambda value: urllib.parse.urlencode({"a": value}),
    "all percent": lambda value: "".join(f"%{byte:02X}" for byte in value.encode()),
    "base64": _base64_of,
    "base64 of more": lambda value: _base64_of(f"user:{value}"),
    "base64 of much": lambda value: _base64_of(f"{'some words before. ' * 5}{value} and behind"),
    "base64 for URLs": lambda value: base64.urlsafe_b64encode(f"a:{value}".encode()).decode().rstrip("="),
    "base64 twice": lambda value: _base64_of(_base64_of(f"u:{value}")),
    "hex": lambda value: value.encode().hex(),
    "hex in capitals": lambda value: value.encode().hex().upper(),
    "hex in pairs": lambda value: value.encode().hex(" "),
    "hex with colons": lambda value: value.encode().hex(":"),
    "zero width": "\u200b".join,
    "soft hyphens": "\u00ad".join,
    "wide": lambda value: "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in value),
    "entities": lambda value: html.escape(value),
    "entities in hex": lambda value: "".join(one if one.isalnum() and one.isascii() else f"&#x{ord(one):X};" for one in value),
    "decomposed": lambda value: unicodedata.normalize("NFD", value),
    "twice": lambda value: value + value if not value.isalnum() else value,
    "over lines": lambda value: value.replace(" ", "\n  "),
}  # fmt: skip


@pytest.fixture(scope="module")
def library() -> Library:
    return Library(shipped(), portable=True)


@pytest.fixture(scope="module")
def book(library: Library) -> Rulebook:
    known = (KnownValue(f"v{number}", value) for number, value in enumerate(VALUES))
    return library.rulebook("default", "", KnownValues("these", tuple(known)))


def fired(book: Rulebook, text: str) -> set[str]:
    """The known values that are found in a text."""
    part = Part(text, "user", "text", 0)
    verdict = evaluate(book, Exchange(parts=(part,)))
    return {one.rule.id for one in verdict.fired if one.rule.id.startswith("known.")}


@pytest.mark.parametrize("way", WAYS)
def test_each_value_is_found_in_each_way(book: Rulebook, way: str) -> None:
    missed = [
        value
        for number, value in enumerate(VALUES)
        if f"known.v{number}" not in fired(book, f"please use {WAYS[way](value)} now")
    ]
    assert missed == []


def test_nothing_of_a_value_leaves(book: Rulebook) -> None:
    for number, value in enumerate(VALUES):
        for way in ("plain", "base64 of more", "hex", "in a URL"):
            text = f"please use {WAYS[way](value)} now"
            body = json.dumps(text).encode()
            exchange = Exchange(parts=(Part(text, "user", "text", 0),))
            verdict = evaluate(book, exchange, key=b"k")
            sent = json.loads(splice(body, verdict.edits))
            assert verdict.action == "REDACT"
            assert f"known_v{number}" in sent or "REDACTED" in sent
            assert WAYS[way](value)[3:-3] not in sent, (value, way)


@pytest.mark.parametrize(
    "text",
    [
        "db8.corp.example.internal answers",
        "DB7.CORP.EXAMPLE.INTERNAL answers",  # in capitals, which was not asked for
        "K-4471-22-9",
        "p@ss word",
    ],
)
def test_what_only_resembles_a_value_is_left_alone(book: Rulebook, text: str) -> None:
    assert fired(book, text) == set()


def test_a_short_word_is_no_piece_of_a_longer_one(library: Library) -> None:
    known = KnownValues("w", (KnownValue("a", "Zx81mk3l"),))
    book = library.rulebook("default", "", known)
    assert fired(book, "aZx81mk3l and Zx81mk3lb") == set()
    assert fired(book, "my_Zx81mk3l_x") == {"known.a"}


def test_in_any_case_where_that_is_said(library: Library) -> None:
    known = KnownValue("host", "db7.corp.example", any_case=True)
    book = library.rulebook("default", "", KnownValues("any", (known,)))
    assert fired(book, "ssh DB7.Corp.Example") == {"known.host"}


def test_a_value_of_one_tenant_is_nothing_to_another(library: Library) -> None:
    one, two = (
        library.rulebook("default", "", KnownValues(mark, (KnownValue("a", value),)))
        for mark, value in (("1", "Zx81mk3lQ"), ("2", "Hb62pw9sT"))
    )
    assert fired(one, "Zx81mk3lQ Hb62pw9sT") == {"known.a"}
    assert one.version != two.version != library.rulebook("default").version
    assert fired(library.rulebook("default"), "Zx81mk3lQ Hb62pw9sT") == set()


def test_overrides_name_known_values_like_other_rules() -> None:
    own = (
        "earthflow: 1\nname: own\noverrides:\n"
        "  known.host: {action: block}\n  known.old: {mode: off}\n  known.none: {mode: off}\n"
    )
    library = Library({**shipped(), "own.yaml": own}, portable=True)
    values = (
        KnownValue("host", "db7.corp.example"),
        KnownValue("old", "db6.corp.example"),
    )
    book = library.rulebook("default", "", KnownValues("m", values))
    part = Part("db7.corp.example", "user", "text", 0)
    assert evaluate(book, Exchange(parts=(part,))).action == "BLOCK"
    assert fired(book, "db6.corp.example") == set()


class Kept:
    """A store of compiled databases."""

    def __init__(self) -> None:
        self.databases: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.databases.get(key)

    def put(self, key: str, data: bytes) -> None:
        self.databases[key] = data


def test_a_value_is_in_no_store_and_no_representation() -> None:
    tiny = "earthflow: 1\nname: default\nrules:\n  - {id: a.b, severity: low, action: flag, match: {keywords: [unusual]}}\n"
    store, value = Kept(), "Zx81mk3lQ"
    library = Library({"earthflow/default": tiny}, store=store)
    known = KnownValues("m", (KnownValue("a", value),))
    book = library.rulebook("default", "", known)
    assert fired(book, value) == {"known.a"}
    (kept,) = store.databases.values()  # that of the rules
    assert value.encode() not in kept
    for shown in (known, known.values, book, book.rules, book.scanner.patterns):
        assert value not in repr(shown)
    assert book.scanner.missed(value, range(len(book.scanner.patterns))) == []


def test_a_mark_follows_what_is_sealed_in_any_order() -> None:
    one, two = ("a", "x", False), ("b", "y", True)
    assert mark_of([one, two]) == mark_of([two, one]) != mark_of([one])
    assert mark_of([]) == NONE.mark


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "fewer than 8 characters"),
        ("Zx81mk3", "fewer than 8 characters"),
        ("   Zx81mk3   ", "fewer than 8 characters"),
        ("postgres", "is a word"),
        ("Straßenbahn", "is a word"),
        ("--------", "different characters"),
        ("11112222", "different characters"),
        ("x" * LONGEST + "y", "more than 1,024"),
        ("Zx81mk3l\0Q", "characters that no text has"),
        ("Zx81mk3l\ud800Q", "characters that no text has"),
        ("[REDACTED:known_a_gggggggg]", "placeholder"),
    ],
)
def test_what_can_be_no_known_value(value: str, why: str) -> None:
    assert why in complaint(value)


@pytest.mark.parametrize("value", ["Zx81mk3l", "12345678", "a b c d 1", "x" * (LONGEST - 3) + "yz1", "donaudampfschiff"])  # fmt: skip
def test_what_just_can(value: str) -> None:
    assert complaint(value) == ""


def test_as_many_as_a_tenant_may_have_are_found(library: Library) -> None:
    known = tuple(
        KnownValue(f"v{number}", f"Q7-{number:06}-zt") for number in range(MAX_VALUES)
    )
    book = library.rulebook("default", "", KnownValues("many", known))
    assert fired(book, "Q7-000000-zt and Q7-000999-zt, not Q7-001000-zt") == {
        "known.v0",
        "known.v999",
    }
