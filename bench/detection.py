"""How much the packs find, and how often they are wrong, on fresh text by generators that know nothing of our patterns."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import NamedTuple

from bench.corpus.assignments import CODE, ENVIRONMENT, FILES, named
from bench.corpus.benign import BENIGN
from bench.corpus.injections import ATTACKS
from bench.corpus.situations import SITUATIONS
from bench.corpus.travel import WAYS
from bench.corpus.values_credentials import CREDENTIALS
from bench.corpus.values_personal import PERSONAL
from rules.evaluate import evaluate
from rules.exchange import Exchange, Part
from rules.redact import splice
from rules.rulebook import Rulebook
from rules.verdict import Verdict

ACTING = ("redact", "block")
# Not secrets by themselves, or companies' numbers: found or not, they are counted apart.
NOT_SECRET = ("aws_access_key_id", "alibaba_access_key", "twilio_key")
NOT_PERSONAL = ("lei", "fr_siret", "br_cnpj")


class Rate(NamedTuple):
    """So many of so many, and what was missed most."""

    name: str
    hits: int
    total: int
    worst: str = ""

    @property
    def percent(self) -> float:
        """Of a hundred."""
        return 100 * self.hits / self.total if self.total else 0.0


def judged(book: Rulebook, texts: Iterable[str]) -> tuple[Verdict, list[str]]:
    """The verdict on a user's message of these parts, and the parts as they would leave."""
    parts = tuple(
        Part(text, "user", "text", number) for number, text in enumerate(texts)
    )
    verdict = evaluate(book, Exchange(model="gpt-5.2", parts=parts))
    body = json.dumps([part.text for part in parts], ensure_ascii=False)
    try:
        left = json.loads(splice(body.encode(), verdict.edits))
    except UnicodeEncodeError:
        left = [part.text for part in parts]
    return verdict, left


def found(book: Rulebook, pack: str, value: str, texts: list[str]) -> bool:
    """Whether a rule of the pack acts on it, and nothing of the value is left where it stood in clear."""
    verdict, left = judged(book, texts)
    acting = [
        one.rule.id
        for one in verdict.fired
        if one.rule.id.startswith(pack) and one.rule.action in ACTING
    ]
    return bool(acting) and (verdict.action == "BLOCK" or value not in "".join(left))


def credentials(book: Rulebook, rng: Random, each: int) -> Iterator[Rate]:
    """By way of travelling."""
    makers = {
        name: make for name, make in CREDENTIALS.items() if name not in NOT_SECRET
    }
    for way, send in WAYS.items():
        missed: Counter[str] = Counter()
        for name, make in makers.items():
            for _ in range(each):
                value = make(rng)
                missed[name] += not found(book, "credentials.", value, send(rng, value))
        yield _rate(way, missed, each)
        _tell(f"credentials {way}")


def assignments(book: Rulebook, rng: Random, each: int) -> Iterator[Rate]:
    """By group of ways of writing an assignment: of variables, in files, in code."""
    for group, ways in (
        ("variables and options", ENVIRONMENT),
        ("files", FILES),
        ("code", CODE),
    ):
        missed: Counter[str] = Counter()
        for way, write in ways.items():
            for _ in range(each):
                name, value = named(rng)
                text = write(name, value)
                secret = value if value in text else ""
                missed[way] += not found(book, "", secret, [text])
        yield _rate(group, missed, each)
        _tell(f"assignments {group}")


def situations(book: Rulebook, rng: Random, each: int) -> Iterator[Rate]:
    """By kind of file, how many of its secrets are gone."""
    for kind, make in SITUATIONS.items():
        hits = total = 0
        for _ in range(each):
            file = make(rng)
            part = Part(file.text, "tool", "tool_result", 0)
            verdict = evaluate(book, Exchange(parts=(part,)))
            left = json.loads(splice(json.dumps(file.text).encode(), verdict.edits))
            hits += sum(
                verdict.action == "BLOCK" or secret not in left
                for secret in file.secrets
            )
            total += len(file.secrets)
        yield Rate(kind, hits, total)
        _tell(f"situations {kind}")


def countries(book: Rulebook, rng: Random, each: int) -> Iterator[Rate]:
    """Personal numbers by country, each in a sentence that says what it is."""
    kinds: dict[str, list[str]] = {}
    for name in PERSONAL:
        if name not in NOT_PERSONAL and name[2:3] == "_":
            kinds.setdefault(name[:2].upper(), []).append(name)
    for country, names in sorted(kinds.items()):
        missed: Counter[str] = Counter()
        for name in names:
            for _ in range(each):
                value = PERSONAL[name](rng)
                texts = WAYS["plain"](rng, value.text, value.context)
                missed[name] += not found(book, "personal.", value.text, texts)
        yield _rate(country, missed, each)


def personal(book: Rulebook, rng: Random, each: int) -> Iterator[Rate]:
    """By way of travelling, each value in a sentence that says what it is."""
    makers = {name: make for name, make in PERSONAL.items() if name not in NOT_PERSONAL}
    for way, send in WAYS.items():
        missed: Counter[str] = Counter()
        for name, make in makers.items():
            for _ in range(each):
                value = make(rng)
                missed[name] += not found(
                    book, "personal.", value.text, send(rng, value.text, value.context)
                )
        yield _rate(way, missed, each)
        _tell(f"personal data {way}")


def attacks(book: Rulebook, rng: Random, each: int) -> Iterator[Rate]:
    """Injections that reach the threshold of a flag, by language; and those that are blocked."""
    for language, make in ATTACKS.items():
        for name, wanted in (
            ("flagged", ("FLAG", "REDACT", "BLOCK")),
            ("blocked", ("BLOCK",)),
        ):
            hits = sum(
                evaluate(
                    book, Exchange(parts=(Part(make(rng), "user", "text", 0),))
                ).action
                in wanted
                for _ in range(each)
            )
            yield Rate(f"{language}, {name}", hits, each)


def benign(book: Rulebook, rng: Random, total: int) -> Iterator[Rate]:
    """Harmless texts that a rule blocks, redacts, or flags, by kind; the last line is all of them."""
    makers: list[tuple[str, Callable[[Random], str]]] = list(BENIGN.items())
    wrong: dict[str, Counter[str]] = {
        action: Counter() for action in ("block", "redact", "flag")
    }
    rules: dict[str, Counter[str]] = {action: Counter() for action in wrong}
    for number in range(total):
        _, make = makers[number % len(makers)]
        verdict, _ = judged(book, [make(rng)])
        for action in {
            one.rule.action for one in verdict.fired if not one.rule.monitor
        } & wrong.keys():
            wrong[action]["all"] += 1
            rules[action].update(
                one.rule.id
                for one in verdict.fired
                if one.rule.action == action and not one.rule.monitor
            )
    for action in wrong:
        worst = ", ".join(
            f"{name} ×{count}" for name, count in rules[action].most_common(6)
        )
        yield Rate(action, wrong[action]["all"], total, worst)


def _rate(way: str, missed: Counter[str], each: int) -> Rate:
    total = each * len(missed)
    worst = ", ".join(
        f"{name} {count}/{each}" for name, count in missed.most_common(8) if count
    )
    return Rate(way, total - sum(missed.values()), total, worst)


def _tell(what: str) -> None:
    print(what, file=sys.stderr)
