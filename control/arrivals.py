"""Entries of the stream, and of the quarantine, as records: what is none is kept aside with its reason, never dropped."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from contract.decision import Record, decode, time_of
from contract.proof import is_signed
from contract.streams import FIELD, MAC
from control.store.audit import Arrival, Unreadable

AHEAD = timedelta(days=1)  # a record further in the future is not ours
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")  # the id of a tenant, a worker, a boot
LARGEST_SEQ = 2**62  # PostgreSQL's int8 ranges hold no more, and no spool gets there
FORGED = "forged: its MAC is wrong"
UNSIGNED = "forged: it has no MAC, and its proxy signs"

Entry = tuple[bytes, dict[bytes, bytes]]


def arrivals_of(
    entries: Iterable[Entry], retention_days: int, key: bytes, signers: set[str]
) -> tuple[list[Arrival], list[Unreadable]]:
    """The records, and what is none.

    A record without its proxy's MAC is none, and moves no watermark. `signers` are the workers
    that sign; those that begin to are added. Others are proxies of an earlier version.
    """
    arrivals, unreadable = [], []
    for entry, fields in entries:
        payload = fields.get(FIELD, b"") if fields else b""
        mac = fields.get(MAC, b"") if fields else b""
        if mac and not is_signed(mac, key, payload):
            unreadable.append(Unreadable(entry.decode(), payload, FORGED))
            continue
        read = read_record(entry.decode(), payload, retention_days, signed=bool(mac))
        place = read.record.place if isinstance(read, Arrival) else read.place
        if mac and place is not None:
            signers.add(place.worker)
        if not mac and place is not None and place.worker in signers:
            unreadable.append(Unreadable(entry.decode(), payload, UNSIGNED))
        elif isinstance(read, Unreadable):
            unreadable.append(read)
        else:
            arrivals.append(read)
    return arrivals, unreadable


def read_record(
    entry: str, payload: bytes, retention_days: int, *, signed: bool
) -> Arrival | Unreadable:
    """The record of a payload whose MAC was checked."""
    try:
        record = decode(payload)
        made = _made(record)
    except (ValueError, OverflowError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"[:500].replace("\0", "?")
        return Unreadable(entry, payload, reason, signed=signed)
    now = datetime.now(UTC)
    if not now - timedelta(days=retention_days) <= made <= now + AHEAD:
        reason = f"its time, {made}, is outside of what is kept"
        return Unreadable(entry, payload, reason, record.place, signed)
    return Arrival(entry, payload, record, signed)


def _made(record: Record) -> datetime:
    """When a record was made. Raises ValueError where it cannot be one of ours."""
    if not (
        NAME.fullmatch(record.place.worker)
        and NAME.fullmatch(record.place.boot)
        and NAME.fullmatch(record.tenant)
    ):
        raise ValueError("its place or its tenant has an impossible name")
    if not 0 <= record.place.seq < LARGEST_SEQ:
        raise ValueError("its place has an impossible number")
    return time_of(record.id)
