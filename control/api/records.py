"""Exchanges as the API shows and imports them: one line or row of version 2
(docs/audit-log.md).
"""

import uuid
from typing import Annotated, Literal

import msgspec

from contract.decision import (
    Action,
    Completion,
    Coverage,
    Decision,
    Fired,
    Missing,
    Outcome,
    Place,
    Reason,
    Record,
    Time,
    time_of,
)
from control.store.search import EARLIER, Row

IMPORTED = Place("import", "v2", 0)  # the worker's name in imported records


Tokens = Annotated[int, msgspec.Meta(ge=0, le=10**9)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=10**9)]
LONGEST = 300  # characters of a rule's id
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Ending(msgspec.Struct, kw_only=True):
    """How an exchange ended, as it is imported."""

    time: Time
    outcome: Outcome
    status: int | None = None
    error: str = ""
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    bytes_up: Count = 0
    bytes_down: Count = 0
    first_byte_ms: Count | None = None
    duration_ms: Count = 0
    added_ms: Milliseconds | None = None
    action: Action | None = None
    would: Action | None = None
    would_strict: Action | None = None
    coverage: Coverage = "none"
    unreadable: tuple[str, ...] = ()
    rules: tuple[Fired, ...] = ()
    restored: Count = 0


class Line(msgspec.Struct, kw_only=True):
    """An exchange as it is imported.

    Unknown fields are ignored, and so is a kept prompt.
    """

    id: str
    time: Time
    tenant: str
    status: Action
    version: int = 2
    key: str = ""
    would: Action | None = None
    would_strict: Action | None = None
    reason: Reason = "policy"
    coverage: Coverage = "full"
    unreadable: tuple[str, ...] = ()
    rules: tuple[Fired, ...] = ()
    rulebook: str = ""
    provider: str = ""
    host: str = ""
    method: str = ""
    path: str = ""
    model: str = ""
    stream: bool = False
    size: Count = 0
    prompt_hash: str = ""
    client: str = ""
    missing: Missing | None = None
    completion: Ending | None = None


class Said(msgspec.Struct):
    """A kept text of a call. `cut`: it was longer."""

    role: str
    text: str
    cut: bool


class Exchange(Line, kw_only=True):
    """An exchange.

    `webhook`: whether its tenant's was told. `signed`: whether its record had its proxy's MAC, which those of
    earlier versions have not; null where that is not known. `prompt` is there only where one exchange
    is asked for, and so is `prompt_kept`: there is one to open.
    """

    webhook: Literal["waiting", "delivered", "dead"] | None = None
    signed: bool | None = None
    prompt: list[Said] | msgspec.UnsetType | None = msgspec.UNSET
    prompt_kept: bool | msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(Line)


def records_of(line: bytes) -> list[Record]:
    """The records of a line.

    Raises ValueError (as msgspec's errors are) where it is none.
    """
    if b"\\u0000" in line:
        raise ValueError("it holds what PostgreSQL does not")
    one = _decoder.decode(line)
    if one.version != 2:
        raise ValueError(f"it is of version {one.version}")
    if abs(time_of(one.id) - one.time) > EARLIER:
        raise ValueError("its id was not made at its time")
    if any(
        len(fired.rule) > LONGEST
        for fired in (*one.rules, *(one.completion.rules if one.completion else ()))
    ):
        raise ValueError("a rule's id is too long")
    one.id = str(uuid.UUID(one.id))
    told = {
        name: getattr(one, name)
        for name in one.__struct_fields__
        if name not in ("status", "version", "completion")
    }
    records: list[Record] = [Decision(action=one.status, place=IMPORTED, **told)]
    if one.completion is not None:
        ending = {
            name: getattr(one.completion, name)
            for name in one.completion.__struct_fields__
        }
        records.append(
            Completion(id=one.id, tenant=one.tenant, place=IMPORTED, **ending)
        )
    return records


def shown(
    row: Row, prompt: list[Said] | msgspec.UnsetType | None = msgspec.UNSET
) -> Exchange:
    """An exchange as the API shows it."""
    decision, completion = row.decision, row.completion
    told = {
        name: getattr(decision, name)
        for name in decision.__struct_fields__
        if name not in ("schema", "place", "action", "prompt")
    }
    ending = (
        Ending(**{name: getattr(completion, name) for name in Ending.__struct_fields__})
        if completion is not None
        else None
    )
    return Exchange(
        status=decision.action,
        completion=ending,
        webhook=row.webhook,
        signed=row.signed,
        prompt=prompt,
        **told,
    )
