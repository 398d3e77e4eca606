"""What is wrong with a rule that reads well: what only compiling it would show."""

from collections.abc import Iterator

from rules.complaint import Complaint, likely
from rules.condition import Conditions, TooComplex
from rules.model import Rule, single_matches
from rules.patterns import compile_regex, keywords_as_regex
from rules.redact import placeholder
from rules.sources import Sources, detectors

SAMPLE_HASHES = ("fghjklmn", "tsrqpnml", "gggggggg")


def faults(written: Sources, rule: Rule, conditions: Conditions) -> Iterator[Complaint]:
    """What is wrong with a rule that only compiling shows."""
    for match in single_matches(rule.match) if rule.match else ():
        if match.detector and match.detector not in detectors():
            yield written.complaint(
                match.at,
                f"there is no detector `{match.detector}`",
                likely(match.detector, detectors()),
            )
            continue
        if match.command is not None or match.reads_like:
            what = "a command" if match.command else "what reads like something"
            if rule.action == "redact":
                yield written.complaint(
                    match.at,
                    f"rule `{rule.id}` redacts {what}, of which nothing could be left",
                    "write `action: block` or `flag`",
                )
            continue
        regex = match.regex or (
            detectors()[match.detector].regex
            if match.detector
            else keywords_as_regex(match.keywords)
        )
        for sample in SAMPLE_HASHES if rule.action == "redact" else ():
            own = placeholder(rule.id, rule.redact, sample)
            if not (match.near or match.validate) and compile_regex(regex).search(
                own.encode()
            ):
                yield written.complaint(
                    match.at,
                    f"the rule would find its own placeholder {own}",
                    "write another one in `redact`",
                )
                break
    try:
        for clause in (rule.when, *(exception.when for exception in rule.except_)):
            conditions.compile(clause)
    except TooComplex:
        yield written.complaint(
            rule.at,
            f"the conditions of rule `{rule.id}` are too many when written out",
            "split it into several rules",
        )
