"""`python -m addons.cases`: a job and its cases on standard input, one outcome a line on standard output."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from addons.cases.case import BOM, KNOWN, BadCase, Job, read_case
from addons.cases.judge import CaseJudge
from addons.cases.outcome import outcome
from addons.providers import Directory
from contract.providers import BadProviders
from rules.complaint import BadRules
from rules.load import Library
from rules.sources import shipped

BAD_USAGE, BAD_RULES = 2, 3  # exit statuses


def main() -> int:
    """Standard input: a Job, then a case a line.

    Standard output: an outcome a line. Gives the exit status.
    """
    lines, out = sys.stdin.buffer, sys.stdout.buffer
    try:
        job = msgspec.json.decode(lines.readline(), type=Job)
        book = Library({**shipped(), **job.sources}, portable=True).rulebook(
            job.preset, job.tenant
        )
        directory = Directory(Path(job.providers) if job.providers else None)
    except (BadRules, BadProviders) as error:
        print(error, file=sys.stderr)
        return BAD_RULES
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        print(f"preset, tenant and rule files must be UTF-8: {error}", file=sys.stderr)
        return BAD_USAGE
    judge = CaseJudge(book, job.tenant, datetime.now(UTC), directory)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            out.write(msgspec.json.encode(outcome_of(line, number, judge)) + b"\n")
            out.flush()
        except BadCase as error:
            print(f"line {number}: {error}", file=sys.stderr)
            return BAD_USAGE
    return 0


def outcome_of(line: bytes, number: int, judge: CaseJudge) -> dict[str, Any]:
    """The outcome of a line. Raises BadCase."""
    case = read_case(line.removeprefix(BOM))
    case.id = case.id or f"line {number}"
    try:
        unknown = sorted(set(msgspec.json.decode(line.removeprefix(BOM))) - KNOWN)
        return {**outcome(case, judge.judge(case)), "unknown": unknown}
    except RecursionError:
        raise BadCase("is nested too deep") from None


if __name__ == "__main__":
    raise SystemExit(main())
