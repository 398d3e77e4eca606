"""Texts that are nearly something, or very much of it: each has a stated outcome."""

import base64
import json
import textwrap
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import pytest

from addons.providers.places import is_base64
from rules.evaluate import evaluate
from rules.exchange import Exchange, Part
from rules.locate import FEW, MAX_FINDINGS
from rules.redact import literals, splice
from rules.sources import shipped
from tests.support.shared import library

CARD = "4539148803436467"
HEAD = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
CLAIMS = "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkFubmEiLCJpYXQiOjE1MTYyMzkwMjJ9"
SIGNED = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
VALUE = "q8Wn2vLr7Tz1Yb5Xc9Mj4Hd6"


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


class Judged(NamedTuple):
    """An action, what is left of a text, and how many findings there were."""

    action: str
    left: str
    findings: int


def judged(text: str) -> Judged:
    book = library(shipped()).rulebook("default")
    part = Part(text, "tool", "tool_result", 0)
    verdict = evaluate(book, Exchange(parts=(part,)))
    left = json.loads(splice(json.dumps(text).encode(), verdict.edits))
    return Judged(verdict.action, left, sum(len(one.findings) for one in verdict.fired))


def base64_and_blanks(size: int) -> str:
    run = base64.b64encode(b"this is what nobody should read and so on").decode()
    return f'{run}\nQUtJQVFZQUtJQVFZ"{" " * size}x'


@pytest.mark.parametrize(
    "read",
    [
        lambda size: judged(base64_and_blanks(size)).findings,
        lambda size: is_base64("\n" * size + "!"),
    ],
    ids=["blanks behind base64", "line ends in an image's place"],
)
def test_a_long_gap_takes_no_time(read: Callable[[int], object]) -> None:
    """A tenth of it took seconds once, and this would take minutes."""
    assert not read(200_000)


def test_many_keys_in_lines_of_base64_are_cut_out() -> None:
    """Each walked through the whole run from its beginning: half a minute for 500 KB."""
    rng = Random(3)
    keys = (f"AKIA{''.join(rng.choices(LETTERS, k=16))}" for _ in range(150))
    text = " ".join(f"{'word ' * 150}{key}" for key in keys)
    lines = "\n".join(textwrap.wrap(base64.b64encode(text.encode()).decode(), 76))
    found = judged(lines)
    # The last one covers the rest.
    assert (found.action, found.findings) == ("REDACT", FEW)
    assert len(found.left) < len(lines) * FEW / 140


def test_thousands_of_small_texts_that_hide_something_have_a_bound() -> None:
    book = library(shipped()).rulebook("default")
    parts = tuple(
        Part("%2541&amp;#65;\u200b\\\\u0041", "user", "text", number)
        for number in range(5_000)
    )
    assert evaluate(book, Exchange(parts=parts)).unreadable == ("hidden",)


def test_hashes_and_images_are_no_hidden_text() -> None:
    lines = "".join(f"{number:064x}  file{number}\n" for number in range(3_000))
    verdict = judged(lines)
    assert verdict.action == "ALLOW"


@pytest.mark.parametrize(
    "text",
    [
        f"card 7{CARD}",
        f"card {CARD}7",
        f"serial 1234{CARD}5678",
        f"0x{CARD}",
        f"0.{CARD}",
        f"id-{CARD}-{CARD}-9",
    ],
)
def test_a_card_inside_of_a_longer_number_is_none(text: str) -> None:
    assert judged(text)[:2] == ("ALLOW", text)


@pytest.mark.parametrize("behind", ["", ".", ". ", "..", ".\n", " .sig"])
def test_a_token_without_its_third_part_is_no_token(behind: str) -> None:
    text = f"the parts are {HEAD}.{CLAIMS}{behind}"
    assert judged(text)[:2] == ("ALLOW", text)
    assert judged(f"the token is {HEAD}.{CLAIMS}.{SIGNED}").action == "REDACT"


def test_a_line_of_a_megabyte_is_one_value() -> None:
    found = judged(f"API_KEY={VALUE * 43_000}")
    assert found.action == "REDACT"
    assert found.left.startswith("API_KEY=[REDACTED:")
    assert VALUE not in found.left


def test_very_many_near_assignments_are_none() -> None:
    text = "".join(f"token_{number} = None; " for number in range(100_000))
    assert judged(text) == ("ALLOW", text, 0)


def test_very_many_assignments_leave_nothing() -> None:
    text = "".join(f"API_KEY_{number}={VALUE}{number:05}\n" for number in range(20_000))
    found = judged(text)
    assert (found.action, VALUE in found.left) == ("REDACT", False)
    assert found.findings < 20 * MAX_FINDINGS


@pytest.mark.parametrize("length", [0, 1, 65_535, 65_536, 65_537, 200_000])
@pytest.mark.parametrize("unit", ["a", '"', "\\", 'b"b', "1"])
def test_literals_of_any_length_are_found_whole(length: int, unit: str) -> None:
    written = [unit * length, 12, f"{'c' * length}{unit}", -3.5, unit * (length // 60)]
    for document in (json.dumps(written), json.dumps(written, indent=1)):
        found = [document[start:end] for start, end in literals(document)]
        assert [json.loads(one) for one in found] == written
