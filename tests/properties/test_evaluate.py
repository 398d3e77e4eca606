"""Laws of a verdict: a rule more never lets more through, order does not matter, hidden places map back."""

import base64
import json
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from rules.evaluate import evaluate
from rules.exchange import Exchange, Part
from rules.load import Library
from rules.locate import Pattern
from rules.scan import Scanner
from tests.support.shared import examples

BARE = {
    f"earthflow/{name}": "earthflow: 1\n" for name in ("default", "strict", "monitor")
}
STRENGTH = {"ALLOW": 0, "FLAG": 1, "REDACT": 2, "BLOCK": 3}
WORDS = ["alpha", "beta", "gamma", "delta"]
RULE = st.builds(
    lambda action, word, severity, role: (
        f"action: {action}, severity: {severity}, match: {{keywords: {word}}}"
        + (f", when: {{role: {role}}}" if role else "")
    ),
    st.sampled_from(["flag", "redact", "block"]),
    st.sampled_from(WORDS),
    st.sampled_from(["low", "high"]),
    st.sampled_from(["", "user", "assistant"]),
)
TEXT = st.lists(st.sampled_from([*WORDS, "other", "words"]), max_size=6).map(" ".join)
PARTS = st.lists(
    st.tuples(TEXT, st.sampled_from(["user", "assistant", "tool"])), max_size=5
)


def verdict(rules: list[str], parts: list[tuple[str, str]]) -> str:
    lines = "".join(
        f"  - {{id: r{number}, {rule}}}\n" for number, rule in enumerate(rules)
    )
    book = Library(
        {
            **BARE,
            "own.yaml": f"earthflow: 1\nrules:\n{lines}" if lines else "earthflow: 1\n",
        },
        portable=True,
    ).rulebook("default")
    exchange = Exchange(
        parts=tuple(
            Part(text, role, "text", number)
            for number, (text, role) in enumerate(parts)
        )
    )  # type: ignore[arg-type]
    return evaluate(book, exchange).action


@examples(150)
@given(st.lists(RULE, max_size=4), RULE, PARTS)
def test_a_rule_more_never_lets_more_through(
    rules: list[str], more: str, parts: list[tuple[str, str]]
) -> None:
    assert STRENGTH[verdict([*rules, more], parts)] >= STRENGTH[verdict(rules, parts)]


@examples(100)
@given(st.lists(RULE, max_size=5), PARTS, st.randoms(use_true_random=False))
def test_the_order_of_rules_does_not_matter(
    rules: list[str], parts: list[tuple[str, str]], random: object
) -> None:
    shuffled = list(rules)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert verdict(shuffled, parts) == verdict(rules, parts)


SECRET = Pattern(r"\bSECRET[0-9]{6}[a-z]{4}\b")
SCANNERS = [Scanner([[SECRET]], portable=portable) for portable in (True, False)]
HIDE = {
    "plain": lambda text: text,
    "zero width": lambda text: "\u200b".join(text),
    "look-alikes": lambda text: text.replace("S", "Ѕ").replace("E", "Е"),
    "full width": lambda text: "".join(
        chr(ord(character) + 0xFEE0) for character in text
    ),
    "escapes": lambda text: json.dumps(text).replace("S", "\\u0053")[1:-1],
    "percent": lambda text: "".join(f"%{ord(character):02X}" for character in text),
    "base64": lambda text: base64.b64encode(f"this is {text} here".encode()).decode(),
    "hex": lambda text: f"the {text} it is".encode().hex(),
    "hex pairs": lambda text: f"the {text} it is".encode().hex(" "),
    "base64 of base64": lambda text: base64.b64encode(
        base64.b64encode(f"this is {text} here".encode())
    ).decode(),
    "percent of escapes": lambda text: quote(
        "".join(f"\\u{ord(character):04x}" for character in text), safe=""
    ),
}
# A secret has 16 characters; of base64 in base64 the inner digits are known to the nearest three.
LEAST_DIGITS = {"base64": 22, "hex": 32, "base64 of base64": 29}
AROUND = st.text(alphabet="ab é日 .,\n\x0b", max_size=30)


@examples(150)
@given(
    AROUND,
    st.sampled_from(sorted(HIDE)),
    st.from_regex(r"SECRET[0-9]{6}[a-z]{4}", fullmatch=True),
    AROUND,
)
def test_what_is_hidden_is_found_and_its_place_is_where_it_hides(
    before: str, way: str, secret: str, after: str
) -> None:
    hidden = HIDE[way](secret)
    text = f"{before} {hidden} {after}"
    for scanner in SCANNERS:
        places = {
            place
            for finding in scanner.scan([text]).findings
            for place in finding.places
        }
        start = len(before) + 1
        # Of encoded text, what encodes the secret; of all else, every character that hides it.
        least = (LEAST_DIGITS.get(way, len(hidden) - 1), len(hidden) + 6)
        assert any(
            start - 3 <= first
            and last <= start + len(hidden) + 3
            and least[0] <= last - first <= least[1]
            for _, first, last in places
        ), (
            way,
            text,
        )


@examples(150)
@given(
    st.from_regex(r"SECRET[0-9]{6}[a-z]{4}", fullmatch=True),
    st.integers(1, 15),
    AROUND,
    AROUND,
)
def test_what_is_split_over_parts_is_found_in_both(
    secret: str, cut: int, before: str, after: str
) -> None:
    texts = [f"{before} {secret[:cut]}", f"{secret[cut:]} {after}"]
    for scanner in SCANNERS:
        places = {finding.places for finding in scanner.scan(texts, [[0, 1]]).findings}
        at = len(before) + 1
        assert ((0, at, at + cut), (1, 0, len(secret) - cut)) in places
