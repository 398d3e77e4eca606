"""Advice on valid rules: what never fires, fires too often, costs too much, or has no
tests.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta

from rules.complaint import BadRules, Complaint
from rules.content import patterns_of
from rules.evaluate import evaluate
from rules.exchange import Exchange, Part
from rules.hyperscan_engine import Hyper, sound
from rules.load import Library
from rules.model import Match, Rule, single_matches
from rules.overlaps import overlaps
from rules.patterns import keywords_as_regex, width
from rules.prefilter import fixed_characters
from rules.regex_tree import (
    AnyBut,
    AnyCharacter,
    Branch,
    Group,
    Items,
    Repeat,
    Set,
    flat,
    tree_of,
)
from rules.rulebook import Rulebook
from rules.testing import exchange_of, run

# From this long before its end on, an expiring rule is a warning.
SOON = timedelta(days=14)
# Characters. Shorter ones occur in ordinary text so often that stage 2 does all the
# work.
SHORT_KEYWORD, SHORT_LITERAL = 4, 3
# How many more characters than it needs a token's last class takes, at least; and how many may
# be padding behind it, such as `==`.
ROOM, PADDING = 16, 3
BENIGN = (
    "Could you summarise the attached minutes in five bullet points?",
    "The meeting is on 2026-11-23 at 14:30, room 204, and lasts 45 minutes.",
    "def total(items: list[int]) -> int:\n    return sum(item for item in items if item > 0)",
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8\nAuthor: A. Writer\n\n    Fix the build",
    "2026-11-23T18:00:43Z INFO worker 550e8400-e29b-41d4-a716-446655440000 took 132 ms",
    "Bonjour, pouvez-vous relire ce paragraphe et corriger les fautes ?",
    "مرحبا، هل يمكنك تلخيص هذا النص من فضلك؟",
    "¿Puedes traducir esta frase al inglés, por favor?",
    "Bitte fasse den Text in drei Sätzen zusammen.",
    "| name  | visits |\n|-------|--------|\n| north |  1,204 |\n| south |    987 |",
    'function a(b,c){return b.map(function(d){return d*c})}var e=a([1,2,3],4);console.log(e)',
    "Please forgive the short notice; the order of 1,250 units at 3.40 EUR each stays as it is.",
)  # fmt: skip


def advice(
    library: Library,
    names: set[str],
    today: date,
    preset: str = "default",
    tenant: str = "",
) -> Iterator[Complaint]:
    """Warnings on the rules in these files. Raises BadRules."""
    assembled = library.written.assemble(preset, tenant)
    book = library.rulebook(preset, tenant)
    for name in sorted(names):
        try:
            written = library.written.file(name).rules
        except BadRules:
            continue
        for rule in written:
            effective = assembled.rules.get(rule.id)
            if effective is None or effective.at != rule.at:
                where = (
                    f"{effective.at.file}:{effective.at.line}"
                    if effective
                    else "nowhere"
                )
                yield _say(
                    library,
                    rule,
                    f"rule `{rule.id}` never takes effect: {where} replaces it",
                    "give it an id of its own",
                )
                continue
            yield from _of_rule(library, rule, today)
    yield from _late(library, book, assembled.rules, names)
    yield from _failing(library, names, preset, tenant)
    yield from _on_benign(library, book, names, preset, tenant)
    yield from _overruled(library, book, assembled.rules, names)


def _say(
    library: Library,
    rule: Rule,
    message: str,
    help: str = "",
    match: Match | None = None,
) -> Complaint:
    return library.written.complaint((match or rule).at, message, help, "warning")


def _of_rule(library: Library, rule: Rule, today: date) -> Iterator[Complaint]:
    kinds = {test.must_match for test in rule.tests}
    if kinds != {True, False}:
        missing = (
            "`match` and `ok`"
            if not kinds
            else "`ok`"
            if kinds == {True}
            else "`match`"
        )
        yield _say(
            library,
            rule,
            f"rule `{rule.id}` has no {missing} test",
            "a rule without its proof is a guess",
        )
    if rule.action == "block" and not rule.message:
        yield _say(
            library,
            rule,
            f"rule `{rule.id}` blocks without a message",
            "callers read it; say what they may do instead",
        )
    if rule.expires is not None and rule.expires < today:
        yield _say(
            library,
            rule,
            f"rule `{rule.id}` expired on {rule.expires}",
            "remove it, or give it another day",
        )
    elif rule.expires is not None and rule.expires - today <= SOON:
        yield _say(
            library,
            rule,
            f"rule `{rule.id}` expires on {rule.expires}",
            "in two weeks or less",
        )
    if rule.action == "allow" and rule.expires is None:
        yield _say(
            library,
            rule,
            f"rule `{rule.id}` allows for ever",
            "an exception should have an `expires`",
        )
    if "*" in rule.allows:
        yield _say(
            library,
            rule,
            f"rule `{rule.id}` takes away every rule of its priority or below",
            "name the rules that it is about",
        )
    for match in single_matches(rule.match) if rule.match is not None else ():
        yield from _of_match(library, rule, match)


def _of_match(library: Library, rule: Rule, match: Match) -> Iterator[Complaint]:
    for word in (*match.keywords, *match.near):
        if len(word) < SHORT_KEYWORD and word.isascii():
            yield _say(
                library,
                rule,
                f"`{word}` is short, so it is found often",
                "keywords of four letters or more cost least",
                match,
            )
            break
    if match.regex:
        if re.search(r"\\b[^\x00-\x7f]|[^\x00-\x7f]\\b", match.regex):
            hint = r"use (?:^|\s) or punctuation where a word begins or ends"
            yield _say(
                library,
                rule,
                r"`\b` beside a letter beyond ASCII never holds there as one expects",
                hint,
                match,
            )
        if ends_early(match.regex):
            hint = "leave the upper bound away: {20,} in place of {20,200}"
            yield _say(
                library,
                rule,
                "what this regex finds can end inside a longer run of the same characters, and the rest of it stays",
                hint,
                match,
            )
        if width(match.regex) is None and runs_over_text(match.regex):
            yield _say(
                library,
                rule,
                "nothing bounds what this regex matches",
                "write {0,200} in place of * or +",
                match,
            )
        fixed = fixed_characters(match.regex)
        if not match.near and fixed is not None and fixed < SHORT_LITERAL:
            hint = "a few fixed letters, or `near`, make it cheap; `earthflow rules bench` shows what it costs"
            yield _say(
                library,
                rule,
                "this regex has no fixed letters to look for first",
                hint,
                match,
            )
    regex = match.regex or (keywords_as_regex(match.keywords) if match.keywords else "")
    if regex and not match.near and sound() and Hyper([regex]).refused:
        yield _say(
            library,
            rule,
            "hyperscan cannot take this pattern; the slower engine looks for it",
            "make it shorter or simpler",
            match,
        )


def ends_early(regex: str) -> bool:
    """Whether a match can end in the middle of a token: the last thing in the pattern is a class
    of letters, of which it takes a bounded number.
    """
    tree = tree_of(regex)
    return tree is not None and _ends_early(tree.items)


def _ends_early(items: Items) -> bool:
    if any(isinstance(node, Group) and node.captures for node in items[:-1]):
        return False  # the finding ends there, in front of something else
    for node in reversed(items):
        match node:
            case Group(inside):
                return _ends_early(inside)
            case Branch(branches):
                return any(map(_ends_early, branches))
            case Repeat(_, high, _) if high is not None and high <= PADDING:
                continue
            case Repeat(low, high, (Set(_, False, _) as one,)) if high is not None:
                return _has_letters(one) and high - low >= ROOM
            case _:
                return False
    return False


def _has_letters(one: Set) -> bool:
    for span in one.order:
        if isinstance(span, str):
            if span == r"\w":
                return True
        elif span[0] <= ord("m") <= span[1] or span[0] <= ord("M") <= span[1]:
            return True
    return False


def runs_over_text(regex: str) -> bool:
    """Whether it takes any number of characters of nearly any kind: a match may be the whole text."""
    tree = tree_of(regex)
    return tree is None or any(
        isinstance(node, Repeat)
        and node.high is None
        and any(
            isinstance(one, AnyBut | AnyCharacter)
            or (isinstance(one, Set) and one.negated)
            for one in node.items
        )
        for node in flat(tree.items)
    )


def _late(
    library: Library, book: Rulebook, rules: Mapping[str, Rule], names: set[str]
) -> Iterator[Complaint]:
    """Rules that act on an answer, but in a stream only at its end."""
    acting = {rule.id for rule in book.stream.rules} if book.stream else set()
    for compiled in book.answers.rules if book.answers else ():
        rule = rules.get(compiled.id)
        if (
            rule is None
            or rule.at.file not in names
            or rule.id in acting
            or compiled.monitor
            or compiled.content is None
        ):
            continue
        if compiled.action in ("block", "redact"):
            hint = "a rule acts inside of a stream if it looks for one pattern, or any of several, without `count`, `all` or `not`"
            yield _say(
                library,
                rule,
                f"rule `{rule.id}` is judged at the end of a streamed answer, when it is shown already",
                hint,
            )


def _failing(
    library: Library, names: set[str], preset: str, tenant: str
) -> Iterator[Complaint]:
    for result in run(library, preset, tenant, files=names):
        if result.why:
            yield library.written.complaint(
                result.test.at,
                f"the test of rule `{result.rule.id}` fails: it {result.why}",
                "",
                "error",
            )


def _on_benign(
    library: Library, book: Rulebook, names: set[str], preset: str, tenant: str
) -> Iterator[Complaint]:
    """Rules of these files that fire on harmless texts."""
    rules = library.written.assemble(preset, tenant).rules
    hits: dict[str, str] = {}
    said = [Exchange(parts=(Part(text, "user", "text", 0),)) for text in BENIGN]
    said += [
        Exchange(parts=(Part(text, "assistant", "text", 0),), direction="response")
        for text in BENIGN
    ]
    for exchange in said:
        text = exchange.parts[0].text
        for one in evaluate(book, exchange).fired:
            rule = rules.get(one.rule.id)
            if (
                rule is not None
                and rule.at.file in names
                and one.rule.content is not None
                and patterns_of(one.rule.content)
            ):
                hits.setdefault(rule.id, text)
    for name, text in hits.items():
        yield _say(
            library,
            rules[name],
            f"rule `{name}` fires on an ordinary text",
            f"such as {text[:60]!r}",
        )


def _overruled(
    library: Library, book: Rulebook, rules: Mapping[str, Rule], names: set[str]
) -> Iterator[Complaint]:
    """Rules of these files whose findings get the placeholder of another rule, as their own
    tests show.
    """
    for rule in rules.values():
        if rule.at.file not in names or rule.action != "redact":
            continue
        proofs = [test for test in rule.tests if test.must_match and test.text]
        winners = {
            winner.id: winner
            for test in proofs
            for loser, winner in overlaps(evaluate(book, exchange_of(test, rule)).fired)
            if loser.id == rule.id
        }
        for winner in winners.values():
            yield _say(
                library,
                rule,
                f"rule `{winner.id}` (priority {winner.priority}) replaces what `{rule.id}` "
                f"(priority {rule.weight}) finds, by its own placeholder",
                f"write `priority: {min(1000, winner.priority + 10)}`, or turn `{winner.id}` off",
            )
