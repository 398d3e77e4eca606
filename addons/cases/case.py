"""Cases: what the proxy would do with a text, a call or an answer, written as one JSON
object a line.

`earthflow rules try --cases` runs this package as a program. Reading and judging are
the proxy's own; there is no network and no mitmproxy. A case is one of

    a text      {"text": "…", "way": "prompt"}, or with `role`, `kind` and `tool`
    a call      {"url": "https://api.openai.com/v1/chat/completions", "body": {…}},
                also with `method` and `headers`
    an answer   {"url": "…", "answer": {…}}; `headers` are the answer's; with the content type
                of a stream it is judged as one

and may state what is right: `gone` (values that must not be left), `keep` (values that
must stay), `min` and `max` (the weakest and the strongest action that are right),
`expect` (`find` or `quiet`: what a stronger action than `max` is called). `id` is
repeated in the outcome. A `body` or `answer` that is a string is used as it is; any
other value is written as JSON, with `ascii` in ASCII alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from rules.exchange import Coverage, Kind, Role
from rules.verdict import Verdict

Action = Literal["ALLOW", "FLAG", "REDACT", "BLOCK"]
Way = Literal["prompt", "tool_result", "tool_call", "answer_text"]
# makes the placeholders that are shown; each tenant has a key of its own
KEY = b"earthflow rules try"
DECISION = "case"  # the decision's id in refusals
STRENGTH: Mapping[Action, int] = {"ALLOW": 0, "FLAG": 1, "REDACT": 2, "BLOCK": 3}
BOM = b"\xef\xbb\xbf"  # some editors write it at the start of a file


class Case(msgspec.Struct):
    """One case, as written."""

    id: str = ""
    text: str | None = None
    way: Way | None = None
    role: Role | None = None
    kind: Kind | None = None
    tool: str | None = None
    url: str | None = None
    method: str = "POST"
    headers: dict[str, str] = {}
    body: Any = msgspec.UNSET
    answer: Any = msgspec.UNSET
    ascii: bool = False
    imageok: bool = False  # part of it cannot be read, and that is right
    expect: Literal["find", "quiet"] = "find"
    gone: list[str] = []
    keep: list[str] = []
    min: Action = "ALLOW"
    max: Action = "BLOCK"


# the last ones are notes for people
KNOWN = {
    *Case.__struct_fields__,
    "group",
    "source",
    "known",
    "show",
    "note",
}


class Job(msgspec.Struct):
    """The first line of the input: the rules that judge the cases."""

    sources: dict[str, str] = {}
    preset: str = "default"
    tenant: str = ""
    providers: str | None = None  # path of the operator's own list


class BadCase(ValueError):
    """A line that is no case, and why."""


@dataclass(frozen=True, slots=True)
class JudgedCase:
    """What became of a case.

    `leaves` is what is sent, as bytes would show it; `texts` are what a client reads in
    it. `defects` are promises of the proxy that were broken.
    """

    verdict: Verdict
    coverage: Coverage
    leaves: str
    texts: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()


def read_case(line: bytes) -> Case:
    """A line as a case. Raises BadCase."""
    try:
        case = msgspec.json.decode(line, type=Case)
    except RecursionError:
        raise BadCase("is nested too deep") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadCase(str(error)) from None
    given = [
        name
        for name in ("text", "body", "answer")
        if getattr(case, name) not in (None, msgspec.UNSET)
    ]
    if len(given) != 1:
        raise BadCase(
            "needs one of `text`, `body` and `answer`"
            + (f", not {' and '.join(given)}" if given else "")
        )
    if given != ["text"] and case.url is None:
        raise BadCase(f"has a `{given[0]}` and no `url`")
    return case
