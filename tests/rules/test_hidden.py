"""Text that hides text is found in every way that is undone; what is encoded deeper is named; what only looks so is left alone."""

import base64
import json
import quopri
import textwrap
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.escapes import WAYS
from rules.evaluate import evaluate
from rules.exchange import Exchange, Part
from rules.normalise import MAX_DEPTH, TRIPWIRES, WIRES_BEYOND_ASCII, unhide
from rules.rulebook import Rulebook
from rules.sources import shipped
from rules.verdict import Verdict
from rules.views import View, plain
from tests.support.shared import examples, library

SECRETS = {
    "AWS": "AKIAQYLPMN5HHHFPZAM2",
    "GitHub": "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7aB3dE6gH9",
    "OpenAI": "sk-proj-aB3dE6gH9jK2mN5pQ8sT1vW4yZ7aB3dE6gH9jK2mN5pQ8sT1vW4yZ7",
}
Way = Callable[[str], str]


def b64(text: str | bytes) -> str:
    data = text if isinstance(text, bytes) else text.encode()
    return base64.b64encode(data).decode()


def each(form: str) -> Way:
    """Every character by its code."""
    return lambda text: "".join(form.format(ord(character)) for character in text)


def lines(text: str, width: int, before: str) -> str:
    return "\n".join(before + line for line in textwrap.wrap(text, width))


def often(way: Way, times: int) -> Way:
    def encode(text: str) -> str:
        for _ in range(times):
            text = way(text)
        return text

    return encode


def as_json(text: str) -> str:
    return json.dumps(text).replace("A", r"\u0041").replace("_", r"\u005f").replace("k", r"\u006b")  # fmt: skip


LONG = "this is what nobody should read: {}, and it is the key of the house"
WAYS_TO_HIDE: dict[str, Way] = {
    "decimal entities": each("&#{};"),
    "decimal entities with zeros": each("&#00{}"),
    "hexadecimal entities": each("&#x{:x};"),
    "entities in entities": lambda text: each("&#{};")(text).replace("&", "&amp;"),
    "one entity": lambda text: f"&#{ord(text[0])};{text[1:]}",
    "named entities": lambda text: "key&equals;" + text.replace("_", "&lowbar;").replace("-", "&#45;"),
    "codes in braces": each("\\u{{{:x}}}"),
    "octal codes": each("\\{:03o}"),
    "codes of Python": each("\\U{:08x}"),
    "quoted-printable": each("={:02X}"),
    "lines of quoted-printable": lambda text: quopri.encodestring(f"{'word ' * 13}{text}".encode()).decode(),
    "percent with line ends": lambda text: quote(f"a\r\n\t{text}\nb", safe=""),
    "base32": lambda text: base64.b32encode(LONG.format(text).encode()).decode(),
    "base32 in small letters": lambda text: base64.b32encode(LONG.format(text).encode()).decode().lower(),
    "0x and a blank": lambda text: " ".join(f"0x{ord(character):02x}" for character in text),
    "0x and a comma": lambda text: ",".join(f"0x{ord(character):02X}" for character in text),
    "0x, a comma and a blank": lambda text: ", ".join(f"0x{ord(character):02x}" for character in text),
    "pairs with hyphens": lambda text: text.encode().hex("-"),
    "pairs with colons": lambda text: text.encode().hex(":"),
    "indented base64": lambda text: lines(b64(LONG.format(text)), 64, "    "),
    "base64 in a quoted mail": lambda text: lines(b64(LONG.format(text)), 76, "> "),
    "base64 in a comment": lambda text: lines(b64(LONG.format(text)), 40, " # "),
    "base64 in joined strings": lambda text: '"' + '" +\n  "'.join(textwrap.wrap(b64(LONG.format(text)), 32)) + '"',
    "base64 in groups of 4": lambda text: " ".join(textwrap.wrap(b64(LONG.format(text)), 4)),
    "base64 in groups of 16": lambda text: " ".join(textwrap.wrap(b64(LONG.format(text)), 16)),
    "UTF-16 in base64": lambda text: b64(text.encode("utf-16-le")),
    "UTF-16 in base64, the other way": lambda text: b64(text.encode("utf-16-be")),
    "UTF-16 in hex": lambda text: text.encode("utf-16-le").hex(),
    "combining marks": lambda text: "\u0301".join(text),
    "marks of symbols": lambda text: "\u20e3".join(text),
    "colours": lambda text: f"\x1b[1;31m{text[:5]}\x1b[0m{text[5:]}\x1b[K",
    "a colour before": lambda text: f"\x1b[31m{text}\x1b[0m",
    "a terminal's title": lambda text: f"{text[:5]}\x1b]0;title\x07{text[5:]}",
    "letters struck over": lambda text: "".join(f"_\b{character}" for character in text),
    "bold by striking twice": lambda text: "".join(f"{character}\b{character}" for character in text),
    "tags": lambda text: "".join(chr(0xE0000 + ord(character)) for character in text),
    "selectors": lambda text: "".join(chr(0xE0100 + ord(character) - 16) for character in text),
    "base64 three times": often(b64, 3),
    "percent three times": lambda text: quote(quote(each("%{:02x}")(text))),
    "JSON three times": often(as_json, 3),
    "a code before": lambda text: json.dumps(f"log in with \u201c{text}\u201d"),
    "a code of Chinese before": lambda text: json.dumps(f"\u5bc6\u94a5{text}"),
    "a code of a line end before": lambda text: f"x\\u000a{text}",
    "a byte's code before": lambda text: f"x\\x0a{text}",
    "colours in JSON": lambda text: json.dumps(f"\x1b[32m{text}\x1b[0m"),
    "colours in a program": lambda text: f"\\e[31m{text}\\033[0m",
    "percent in small letters before": lambda text: f"x%0a{text}",
    "a mark of quoted-printable before": lambda text: f"=E2=80=9C{text}",
    "zero width in JSON": lambda text: json.dumps("\u200b".join(text)),
    "zero width in entities": lambda text: "&#8203;".join(text),
    "soft hyphens in entities": lambda text: "&shy;".join(text),
    "zero width in percent": lambda text: "%E2%80%8B".join(text),
    "zero width in quoted-printable": lambda text: "=E2=80=8B".join(text),
    "tags in JSON": lambda text: json.dumps("".join(chr(0xE0000 + ord(character)) for character in text)),
    "wide letters in JSON": lambda text: json.dumps("".join(chr(0xFEE0 + ord(one)) if one.isalnum() else one for one in text)),
    "JSON in JSON with a quote": lambda text: json.dumps(json.dumps(f"\u201c{text}")),
}  # fmt: skip
OF_CAPITALS: dict[str, str] = {
    "Cherokee": "ᎪKIᎪQYᏞᏢMN5ᎻHᎻFᏢᏃᎪM2",
    "Lisu": "ꓮꓗꓲꓮQꓬꓡꓑꓟꓠ5ꓧꓧꓧꓝꓑꓜꓮꓟ2",
    "Coptic": "AⲔⲒAQⲨLⲢⲘⲚ5ⲎⲎⲎFⲢⲌAⲘ2",
    "small capitals": "ᴀᴋɪᴀQʏʟᴘᴍɴ5ʜʜʜꜰᴘᴢᴀᴍ2",
    "Devanagari digits": "AKIAQYLPMN५HHHFPZAM२",
}


@pytest.fixture(scope="module")
def book() -> Rulebook:
    return library(shipped()).rulebook("default")


def judged(book: Rulebook, text: str) -> Verdict:
    exchange = Exchange(parts=(Part(text, "user", "text", 0),))
    return evaluate(book, exchange, key=b"k")


def edited(text: str, verdict: Verdict) -> str:
    for edit in sorted(verdict.edits, key=lambda edit: -edit.start):
        text = text[: edit.start] + "[...]" + text[edit.end :]
    return text


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("way", WAYS_TO_HIDE)
def test_a_hidden_secret_is_taken_out_with_what_hides_it(
    book: Rulebook, way: str, secret: str
) -> None:
    hidden = WAYS_TO_HIDE[way](SECRETS[secret])
    text = f"before it:\n{hidden}\n.behind it"
    verdict = judged(book, text)
    assert verdict.action == "REDACT", text
    assert "hidden" not in verdict.unreadable
    left = edited(text, verdict)
    assert left.startswith("before it:")
    assert left.endswith(".behind it")
    assert judged(book, left).action != "REDACT"


@pytest.mark.parametrize("script", OF_CAPITALS)
def test_letters_of_other_scripts_are_read_as_they_look(
    book: Rulebook, script: str
) -> None:
    assert judged(book, f"it is {OF_CAPITALS[script]}.").action == "REDACT"


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        ("please keep\nthis\n", ""),
        ("", "\nand this\n"),
        ("https://x.example/api/v1/users/", "/items/list"),
        ("export A=1\necho\n", "\n"),
        ("this code base uses AAAA ", " too"),
        ("user00001\n" * 50, "\nuser00002" * 50),
    ],
)
@pytest.mark.parametrize("way", [b64, lambda text: text.encode().hex()])
def test_what_stands_beside_encoded_text_stays(
    book: Rulebook, way: Way, before: str, behind: str
) -> None:
    text = f"{before}{way('the key here: ' + SECRETS['AWS'])}{behind}"
    verdict = judged(book, text)
    assert verdict.action == "REDACT"
    left = edited(text, verdict)
    assert left.startswith(before)
    assert left.endswith(behind)


DEEPER: dict[str, Way] = {
    "base64": often(b64, MAX_DEPTH + 1),
    "percent": lambda text: often(quote, MAX_DEPTH)(each("%{:02x}")(text)),
    "JSON": often(as_json, MAX_DEPTH + 1),
    "entities": lambda text: each("&#{};")(text).replace("&", "&" + "amp;" * MAX_DEPTH),
    "base32": often(lambda text: base64.b32encode(text.encode()).decode(), MAX_DEPTH + 1),
    "hex": often(lambda text: text.encode().hex(), MAX_DEPTH + 1),
    "a mixture": lambda text: often(b64, 3)(quote(b64(text.encode().hex()))),
    "too many runs": lambda text: f"{b64(LONG.format('x'))} " * 2_000 + b64(LONG.format(text)),
    "too many codes": lambda text: "&#65;" * 50_000 + each("&#{};")(text),
}  # fmt: skip


@pytest.mark.parametrize("way", DEEPER)
def test_what_is_encoded_deeper_than_is_decoded_is_named(
    book: Rulebook, way: str
) -> None:
    verdict = judged(book, f"it is {DEEPER[way](SECRETS['AWS'])} .")
    assert verdict.unreadable == ("hidden",)
    assert "coverage.hidden" in [fired.rule.id for fired in verdict.fired]


def test_what_is_encoded_in_itself_in_many_ways_is_bounded(book: Rulebook) -> None:
    text = often(b64, 3)(" ".join(b64(LONG.format(n)) for n in range(9000)))
    assert judged(book, text).unreadable in ((), ("hidden",))


ORDINARY = {
    "a table of hashes": "\n".join(
        f'"integrity": "sha512-{b64(bytes((7 * n + k * k) % 256 for k in range(64)))}"'
        for n in range(300)
    ),
    "a page": '<p class="a">Fish &amp; chips &lt;now&gt; &quot;hot&quot; &#39;&#8217;&nbsp;</p>\n' * 50,
    "logs in logs": often(json.dumps, 4)('{"a": "b\\n c\\t\\"d\\""}'),
    "a path of Windows": often(json.dumps, 3)(r"C:\new\temp\users\bin\x.txt"),
    "a picture": b64(bytes(range(256)) * 40),
    "a token": ".".join(b64(json.dumps(one)) for one in ({"alg": "HS256"}, {"sub": "me"})),
    "headings": f"Title\n{'=' * 70}\nwords\n",
    "assignments": "width=300\nx=41\nKEY=\nOTHER=\n" * 9,
    "colours in a log": "\x1b[32mINFO\x1b[0m started in 41ms\n" * 9,
    "addresses": "https://x.example/a%20b?c=%2Fd%252Fe\n" * 9,
    "bytes of a table": "0x63, 0x7c, 0x77, 0x7b, 0xf2, 0x6b, 0x6f, 0xc5, 0x30, 0x01, 0x67, 0x2b,\n" * 9,
    "letters with marks": "cafe\u0301 man\u0303ana",
    "emoji": "👩\u200d💻 ❤\ufe0f 1\ufe0f\u20e3",
}  # fmt: skip


@pytest.mark.parametrize("kind", ORDINARY)
def test_ordinary_text_hides_nothing(book: Rulebook, kind: str) -> None:
    verdict = judged(book, ORDINARY[kind])
    assert verdict.action == "ALLOW", [fired.rule.id for fired in verdict.fired]


ALL = frozenset([*TRIPWIRES, *WIRES_BEYOND_ASCII, *WAYS, "lookalike"])
PIECES = st.sampled_from(
    ["&#", "65", ";", "&amp", "&lowbar;", "=", "=41", "\n", "\r\n", "0x41", ", ", "-", "41", "\\", "u{", "}", "101", "\x1b[", "31m", "\b", "a",
     "QUtJ", "QVFZ", " ", "    ", '" +\n"', "\u0301", "\U000e0041", "\U000e0131", "\ufe0f", "Ꭺ", "ᴀ", "%", "25", "IFAUCQKB", "é"],
)  # fmt: skip


@examples(200)
@given(st.lists(PIECES | st.text(max_size=3), max_size=30).map("".join))
def test_any_text_has_views_that_lead_back_into_it(text: str) -> None:
    found: list[View] = []
    unhide(plain(0, text), ALL, found)
    for one in found:
        if one.text:
            for start, end in ((0, 1), (0, len(one.text)), (len(one.text) - 1, len(one.text))):  # fmt: skip
                ((number, first, last),) = one.back(start, end)
                assert number == 0
                assert 0 <= first <= last <= len(text)


@pytest.mark.parametrize("name", WAYS)
@given(data=st.data())
def test_every_code_of_a_way_stands_for_at_most_one_character(
    name: str, data: st.DataObject
) -> None:
    """`\\u{12345678}` was taken for two halves of a character, and the call failed."""
    way = WAYS[name]
    code = data.draw(st.from_regex(way.code, fullmatch=True))
    shown, many = way.show(f"({code})")
    assert len(shown) <= 3 and (shown[0], shown[-1], many) == ("(", ")", False)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_secret_in_parts_of_a_letter_each_is_found(
    book: Rulebook, secret: str, size: int
) -> None:
    text = f"{'my key is the following one and no other: ' * 9}{SECRETS[secret]} ok"
    pieces = textwrap.wrap(text, size, drop_whitespace=False, break_on_hyphens=False)
    parts = tuple(Part(piece, "user", "text", n) for n, piece in enumerate(pieces))
    assert evaluate(book, Exchange(parts=parts), key=b"k").action == "REDACT"
