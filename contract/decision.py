"""The record: a Decision before an exchange continues, and a Completion when it is
over.

Both have the exchange's id. `worker`, `boot` and `seq` are a record's place in its
writer's spool, contiguous from 0, so that a missing record has a number. A record has
no text of a call or an answer, except for `Decision.prompt`, which only the tenant's
key opens.
"""

import os
import time
import uuid
from collections import deque
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

# 1: without `would_strict` and `Fired.findings`. A reader of one reads the other: what it does
# not know it passes over, and what is not there has a default.
SCHEMA = 2

Action = Literal["ALLOW", "FLAG", "REDACT", "BLOCK"]
# SCORE: the rule only adds to a score
RuleAction = Literal["ALLOW", "FLAG", "REDACT", "BLOCK", "SCORE"]
Coverage = Literal["full", "partial", "none"]
# Why it was decided so: by the rules, or by the proxy itself, which refused or could
# not judge.
Reason = Literal[
    "policy",
    "too_large",
    "too_slow",
    "too_many_headers",
    "engine_error",
    "no_snapshot",
    "internal_address",
    "authority_mismatch",
    "malformed",
    "key_revoked",
    "upgrade",
    "tunnelled",
    "unknown_host",
    "distrust",
    "rate_limit",
    "token_budget",
    "audit_full",
    "audit_gap",
]
# In `unreadable`: the record itself was cut, since it was too long, or its disk too full.
CUT = "record_cut"
# blocked: a rule blocked the answer
Outcome = Literal["ok", "refused", "blocked", "upstream_error", "client_abort"]


Time = Annotated[datetime, msgspec.Meta(tz=True)]


class Missing(msgspec.Struct, frozen=True):
    """Exchanges of a tenant that could not be recorded, since the spool's disk was full.

    `passed`: how many of them were not refused. `unfinished`: exchanges that are recorded, and
    whose completions are not.
    """

    since: Time
    exchanges: int = 0
    passed: int = 0
    unfinished: int = 0


class Found(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a finding stands; never what was found.

    `part` is the number of the text, `offset` and `length` are characters of it, decoded.
    `placeholder` replaced it. `why` tells what else than the rule decided what became of
    it: monitor, head, signed, history, decoded or elsewhere (docs/audit-log.md).
    """

    part: int
    role: str
    kind: str
    offset: int
    length: int
    tool: str = ""
    placeholder: str = ""
    why: str = ""


class Fired(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule that fired, with the number of its findings, and where the first ones stand.

    `would`: it is in monitor mode and changed nothing.
    """

    rule: str
    action: RuleAction
    severity: str
    count: int = 0
    would: bool = False
    findings: tuple[Found, ...] = ()


class Place(msgspec.Struct, frozen=True):
    """The place of a record in its writer's spool.

    `lost`: records that this boot could not write before it.
    """

    worker: str
    boot: str
    seq: int
    lost: int = 0


class Decision(
    msgspec.Struct,
    frozen=True,
    tag="decision",
    tag_field="kind",
    kw_only=True,
    omit_defaults=True,
):
    """What was decided on an exchange, and how much of it was readable.

    `would`: the action if monitored rules were enforced; `would_strict`: under the preset
    strict; each where it differs. `schema` is what its writer knew: 1 is not written.

    `prompt` is there only where AUDIT_HASH_PROMPTS is false, sealed: `prompt_cipher` in
    unwrap.py opens it.

    `missing`: this is no exchange, but says how many before it are not in the audit (reason
    `audit_gap`).
    """

    schema: int = 1
    id: str
    time: Time
    place: Place
    tenant: str
    key: str
    action: Action
    would: Action | None = None
    would_strict: Action | None = None
    reason: Reason = "policy"
    coverage: Coverage
    unreadable: tuple[str, ...] = ()
    rules: tuple[Fired, ...] = ()
    rulebook: str = ""
    provider: str = ""
    host: str
    method: str = ""
    path: str = ""
    model: str = ""
    stream: bool = False
    size: int = 0
    prompt_hash: str = ""
    prompt: str = ""
    client: str = ""
    missing: Missing | None = None


class Completion(
    msgspec.Struct,
    frozen=True,
    tag="completion",
    tag_field="kind",
    kw_only=True,
    omit_defaults=True,
):
    """How an exchange ended.

    Tokens are counted by the provider, and absent where it gave none; bytes and times
    are measured here. `added_ms` is the time from a call's last byte to its decision.
    The fields from `action` on concern the answer; without an action no rule was asked.
    `restored` counts originals that it got back.
    """

    schema: int = 1
    id: str
    time: Time
    place: Place
    tenant: str
    outcome: Outcome
    status: int | None = None
    error: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    bytes_up: int = 0
    bytes_down: int = 0
    first_byte_ms: int | None = None
    duration_ms: int
    added_ms: float | None = None
    action: Action | None = None
    would: Action | None = None
    would_strict: Action | None = None
    coverage: Coverage = "none"
    unreadable: tuple[str, ...] = ()
    rules: tuple[Fired, ...] = ()
    restored: int = 0


Record = Decision | Completion

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """The record's canonical bytes: JSON, keys in the order of the class."""
    return _encoder.encode(record)


def decode(data: bytes) -> Record:
    """Inverse of `encode`.

    Unknown fields of a newer writer are ignored. Raises msgspec.ValidationError or
    DecodeError.
    """
    record: Record = _decoder.decode(data)
    return record


def new_id(now: float | None = None) -> str:
    """A UUIDv7 (RFC 9562, with 12 bits of the millisecond: 6.2, method 3): it sorts by time, and its day names the partition of the
    record.
    """
    nanoseconds = time.time_ns() if now is None else round(now * 1e6) * 1000
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    head = (
        (milliseconds & 0xFFFF_FFFF_FFFF) << 16 | 0x7 << 12 | rest * 4096 // 1_000_000
    )
    tail = 0x2 << 62 | int.from_bytes(_random_bytes()) >> 2
    digits = f"{head << 64 | tail:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


# Random bytes of the system's, eight a piece, that no id has yet. A thread takes one by a step
# that no other divides; a forked process has its own.
_unused: deque[bytes] = deque()
os.register_at_fork(after_in_child=_unused.clear)


def _random_bytes() -> bytes:
    while True:
        try:
            return _unused.pop()
        except IndexError:
            read = os.urandom(8 * 256)
            _unused.extend(read[at : at + 8] for at in range(0, len(read), 8))


def time_of(identifier: str) -> datetime:
    """When an id was made. Raises ValueError for anything but a UUIDv7."""
    parsed = uuid.UUID(identifier)
    if parsed.version != 7:
        raise ValueError(f"{identifier} is not a UUIDv7")
    return datetime.fromtimestamp((parsed.int >> 80) / 1000, UTC)
