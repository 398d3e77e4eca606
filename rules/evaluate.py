"""Judges an exchange by a rulebook:

(Rulebook, Exchange) → Verdict. The whole algorithm, in reading order.

  1. Find      the scanner gives all findings of all patterns in all texts
  2. Fire      a rule fires where its findings pass its checks and its `when` holds
  3. Allow     an `allow` removes the rules that it names, of its own priority or below
  4. History   findings in earlier turns were judged when they were new
  5. Decide    any block blocks; else findings are redacted; else a flag flags

The order of rules never matters. Scores add up, and a threshold that is reached acts
like a rule. Rules in monitor mode change nothing; what they would have done stands in
`would`. What would block in a conversation's history is taken out instead. What could
not be read, and no rule concerns, is flagged: it is never a plain ALLOW.

In a call's head nothing can be replaced. There a rule that blocks or redacts flags, or
refuses the call if its `head` says so; and where the provider takes the client's own
credential, only rules that refuse are asked, and the provider's own tokens are none.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import islice

from rules.case import Case, by_default
from rules.commands.lines import command_texts, in_their_parts
from rules.condition import ALWAYS, holds
from rules.content import Content, Exempt, of_one_text
from rules.exchange import HEAD, Exchange
from rules.found import found_in
from rules.joints import runs
from rules.labelled import as_named, labels
from rules.locate import LONGEST_STAND_IN, OWN_STAND_IN, STAND_IN
from rules.redact import StandIns
from rules.rulebook import CompiledRule, Rulebook
from rules.scan import Apart, Clean, Finding
from rules.verdict import Fired, Outcome, Verdict

# Values of one call that an answer may get back; a file of secrets has some tens.
MAX_RESTORABLE = 1_000
OURS = Exempt(frozenset(), (), 0, ALWAYS)


def evaluate(
    book: Rulebook, exchange: Exchange, *, key: bytes = b"", clean: Clean | None = None
) -> Verdict:
    """Judge a call, or an answer. Linear in its size.

    Pure, but for `clean`, which learns texts without findings. `key` makes placeholders,
    and hashes of exceptions, a tenant's own.
    """
    # A rulebook without rules for answers need not read them.
    speaking = book.of(exchange.direction)
    if speaking is None:
        return Verdict("ALLOW", unreadable=exchange.unreadable)
    return evaluate_by(speaking, exchange, key=key, clean=clean)


def evaluate_by(
    book: Rulebook, exchange: Exchange, *, key: bytes = b"", clean: Clean | None = None
) -> Verdict:
    """Judge an exchange by exactly this book; otherwise as `evaluate`."""
    parts = exchange.parts
    if not parts:
        return _verdict(book, exchange, (), key)
    commands, cut = command_texts(parts) if book.commands else ([], False)
    texts = [part.text for part in parts]
    own = _own_names(exchange)
    if clean is not None:
        commands = [one for one in commands if _as_commands(one[1]) not in clean]
        for number in (number for number, name in own.items() if name in clean):
            texts[number] = ""
    named = [
        (number, name)
        for number, name in labels(parts)
        if clean is None or _as_label(name, texts[number]) not in clean
    ]
    scanned = book.scanner.scan(
        [*texts, *(lines for _, lines in commands)],
        runs(parts),
        clean,
        named,
    )
    findings = scanned.findings
    if book.commands:
        if cut and "long_command" not in exchange.unreadable:
            reasons = (*exchange.unreadable, "long_command")
            exchange = replace(exchange, unreadable=reasons)
        findings = list(in_their_parts(findings, parts, commands, book.commands))
    if scanned.hidden:
        exchange = replace(exchange, unreadable=(*exchange.unreadable, "hidden"))
    fired, idle = _fired(book, exchange, findings, key)
    # Findings that no rule wants, whatever else the call is, need not be found again.
    if clean is not None and not scanned.hidden:
        found = {place[0] for finding in findings for place in finding.places} - idle
        for number in idle - own.keys():
            clean.add(parts[number].text)
        for number, of_head in own.items():
            if texts[number] and number not in found:
                clean.add(of_head)
        for number, lines in commands:
            if number not in found:
                clean.add(_as_commands(lines))
        for number, name in named:
            if number not in found:
                clean.add(_as_label(name, texts[number]))
    return _verdict(book, exchange, fired, key)


def _own_names(exchange: Exchange) -> dict[int, Apart]:
    """The texts of a call's head, as they are remembered: a client's own credential is clean
    there alone.
    """
    return {
        number: Apart(part.kind, f"{exchange.tokens_of_provider}{part.text}")
        for number, part in enumerate(exchange.parts)
        if part.kind in HEAD
    }


def _as_commands(lines: str) -> Apart:
    """Command lines, in which only commands are looked for, as they are remembered."""
    return Apart("commands", lines)


def _as_label(name: str, text: str) -> Apart:
    """A text with its name, in which what stands in the name is not looked for, as it is remembered."""
    return Apart("label", as_named(name, text))


def decide(
    book: Rulebook, exchange: Exchange, findings: Iterable[Finding], *, key: bytes = b""
) -> Verdict:
    """Judge an exchange by exactly this book, with the findings of its parts known.

    Pure.
    """
    fired, _ = _fired(book, exchange, findings, key)
    return _verdict(book, exchange, fired, key, interim=True)


def _verdict(
    book: Rulebook,
    exchange: Exchange,
    by_content: Sequence[Fired],
    key: bytes,
    *,
    interim: bool = False,
) -> Verdict:
    """What follows from the rules that fired. An `interim` one, of a stream, is for acting
    alone: nobody reads what it says besides.
    """
    fired = _with_context(book, exchange, by_content)
    if not fired:  # as for most calls
        return Verdict(by_default(exchange), unreadable=exchange.unreadable)
    case = _enforced(book, exchange, fired)
    if case.signed:
        exchange = _with_reasons(exchange, case.signed)
        fired = _with_context(book, exchange, by_content)
        case = _enforced(book, exchange, fired)
    action = case.action
    # What monitored rules would have done: the same case, judged with them.
    monitored = not interim and any(one.rule.monitor for one in fired)
    would = Case(book, exchange, fired).action if monitored else None
    strict = None if interim else _under_strict(book, exchange, fired)
    names = StandIns(key)
    redacting = action == "REDACT"
    edits = case.edits(names) if redacting else ()
    restorable = case.restorable(names, edits, book.restore) if redacting else ()
    made = {edit.text for edit in edits}
    found = () if interim else found_in(exchange, fired, case.elsewhere, made, names)
    return Verdict(
        action=action,
        fired=(*fired, *case.scored),
        edits=edits,
        by=max(case.blocking, key=lambda rule: (rule.priority, rule.id), default=None),
        would=would if would != action else None,
        would_strict=strict if strict != action else None,
        unreadable=exchange.unreadable,
        restore=tuple(islice(restorable, MAX_RESTORABLE)),
        found=found,
        refusing=case.refusing,
        signed=case.signed,
    )


def _with_context(
    book: Rulebook, exchange: Exchange, by_content: Sequence[Fired]
) -> list[Fired]:
    """All rules that fired, by their content or by the call alone, sorted by id."""
    by_context = _fired_by_context(book, exchange)
    return sorted((*by_content, *by_context), key=lambda one: one.rule.id)


def _enforced(book: Rulebook, exchange: Exchange, fired: Sequence[Fired]) -> Case:
    """The case of the rules that are not only monitored."""
    return Case(book, exchange, [one for one in fired if not one.rule.monitor])


def _with_reasons(exchange: Exchange, signed: Iterable[int]) -> Exchange:
    """The exchange, with why findings in texts with a signature are not acted on."""
    reasons = {
        "signed" if number in exchange.signed else "signed_unseen" for number in signed
    }
    return replace(exchange, unreadable=(*exchange.unreadable, *sorted(reasons)))


def _under_strict(
    book: Rulebook, exchange: Exchange, fired: Sequence[Fired]
) -> Outcome | None:
    """The action under the preset strict; None where it has the same rules."""
    strict = book.strict() if fired and book.strict is not None else None
    if strict is None or not (
        strict.history != book.history
        or any(one.rule.id in strict.instead or one.rule.score for one in fired)
    ):
        return None
    stricter = []
    for one in fired:
        rule = strict.instead.get(one.rule.id, one.rule)
        if rule is not None and not rule.monitor:
            stricter.append(Fired(rule, one.findings))
    # Where else redacted values stand does not matter for what is done, but in keys.
    return Case(strict, exchange, stricter, spreads=False).action


def _fired(
    book: Rulebook, exchange: Exchange, findings: Iterable[Finding], key: bytes
) -> tuple[list[Fired], set[int]]:
    """The rules with content that fire, and the texts that may be remembered as clean."""
    by_text: defaultdict[int, defaultdict[int, list[Finding]]] = defaultdict(
        lambda: defaultdict(list)
    )
    asked: defaultdict[int, set[int]] = defaultdict(set)
    for finding in findings:
        for text in {place[0] for place in finding.places}:
            by_text[text][finding.pattern].append(finding)
            for number in book.asking.get(finding.pattern, ()):
                asked[number].add(text)
    if not by_text:
        return [], set()
    # A `when` is a mask of conditions; a rule is tested by one comparison of bits.
    of_call = book.conditions.of_call(exchange)
    masks = {
        text: of_call | book.conditions.of_part(exchange.parts[text])
        for text in by_text
    }
    fired = []
    idle = set(by_text)
    for number, texts in asked.items():
        rule = book.rules[number]
        # A dict for its order: the same call gives the same record.
        stand: dict[Finding, None] = {}
        for text in sorted(texts):
            found = rule.content.find(by_text[text]) if rule.content is not None else ()
            if rule.content is not None and not _is_settled(rule.content, found):
                idle.discard(text)
            if not holds(rule.when, masks[text]):
                if found:
                    idle.discard(text)
                continue
            if (
                found
                and exchange.parts[text].kind == "credential"
                and not _concerns_credential(rule, exchange)
            ):
                continue
            for one in found:
                exempt = _exempt(book, rule, one, masks[text], key)
                if exempt is None:
                    stand[one] = None
                if exempt is None or not exempt.always:
                    idle.discard(text)
        if stand and not _is_expired(rule, exchange):
            fired.append(Fired(rule, tuple(stand)))
    return fired, idle


def _fired_by_context(book: Rulebook, exchange: Exchange) -> Iterator[Fired]:
    """Rules without content: no finding asks for them."""
    if not book.contextual:
        return
    of_call = book.conditions.of_call(exchange)
    for number in book.contextual:
        rule = book.rules[number]
        holds = _context_holds(book, rule, exchange, of_call)
        if holds and not _is_expired(rule, exchange):
            yield Fired(rule, ())


def _is_settled(content: Content, found: Sequence[Finding]) -> bool:
    """Whether this text alone decides that nothing was found.

    Members that are joined, or counted, may have looked at neighbouring texts, too.
    """
    return bool(found) or of_one_text(content)


def _exempt(
    book: Rulebook, rule: CompiledRule, finding: Finding, mask: int, key: bytes
) -> Exempt | None:
    """The exception that takes a finding away; OURS where it is a placeholder that we
    made.
    """
    for exempt in rule.exempt:
        if exempt.takes(finding, mask, key):
            return exempt
    return OURS if STAND_IN in finding.view.text and _is_ours(book, finding) else None


def _is_ours(book: Rulebook, finding: Finding) -> bool:
    """Whether the finding is nothing but our own placeholders and what joins them."""
    text, start, end = finding.view.text, finding.start, finding.end
    left, done = "", start
    for own in OWN_STAND_IN.finditer(
        text, max(0, start - LONGEST_STAND_IN), end + LONGEST_STAND_IN
    ):
        if own[1] in book.kinds and own.end() > start and own.start() < end:
            left += text[done : max(done, own.start())]
            done = own.end()
    return done > start and not any(map(str.isalnum, left + text[done:end]))


def _concerns_credential(rule: CompiledRule, exchange: Exchange) -> bool:
    """Whether a finding of the rule is something else than the provider's own credential."""
    if rule.head == "always" or rule.head == "flag":
        return rule.head == "always"
    return not any(fnmatchcase(rule.id, glob) for glob in exchange.tokens_of_provider)


def _context_holds(
    book: Rulebook, rule: CompiledRule, exchange: Exchange, of_call: int
) -> bool:
    if rule.by_part:
        masks = {
            of_call | book.conditions.of_part(part) for part in exchange.parts
        } or {of_call}
        return any(holds(rule.when, mask) for mask in masks)
    return holds(rule.when, of_call)


def _is_expired(rule: CompiledRule, exchange: Exchange) -> bool:
    """Whether the rule has expired.

    An `allow` expires where the time is not known, too.
    """
    if rule.expires is None:
        return False
    return (
        rule.action == "allow"
        if exchange.time is None
        else exchange.time.date() > rule.expires
    )
