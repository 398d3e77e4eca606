"""An exchange as rules saw it, out of its record and its kept prompt."""

from typing import get_args

from contract.decision import Decision
from contract.kept import FORMAT, KeptCall
from rules.exchange import HEAD, NOWHERE, UNEDITED, Exchange, Kind, Part, Role

# Reasons that judging itself gives.
DERIVED = (*UNEDITED, "hidden", "long_command")


def exchange_of(record: Decision, call: KeptCall) -> Exchange | str:
    """The exchange; or why it cannot be judged again."""
    if call.format != FORMAT:
        return "kept_by_older"
    if call.cut:
        return "prompt_cut"
    if any(found.kind in HEAD for one in record.rules for found in one.findings):
        return "head"
    if any(one.count > len(one.findings) for one in record.rules):
        return "many_findings"
    signed = {one for one in record.unreadable if one in UNEDITED}
    if len(signed) > 1:
        return "signed"
    roles, kinds = get_args(Role), get_args(Kind)
    if not all(one.role in roles and one.kind in kinds for one in call.texts):
        return "kept_by_newer"
    exchange = Exchange(
        provider=record.provider,
        host=record.host,
        method=record.method,
        path=call.path,
        model=call.model,
        tenant=record.tenant,
        user=call.user,
        stream=record.stream,
        size=record.size,
        parts=tuple(_part(call, number) for number in range(len(call.texts))),
        unreadable=tuple(one for one in record.unreadable if one not in DERIVED),
        time=call.time,
        signed=frozenset(
            number
            for number, one in enumerate(call.texts)
            if one.signed and "signed" in signed
        ),
    )
    return "refused_before" if _was_refused(record, exchange) else exchange


def _part(call: KeptCall, number: int) -> Part:
    one = call.texts[number]
    return Part(
        one.text,
        one.role,  # type: ignore[arg-type]
        one.kind,  # type: ignore[arg-type]
        NOWHERE if one.fixed else number,
        one.tool,
        one.argument,
        "kept" if one.signed else "",
    )


def _was_refused(record: Decision, exchange: Exchange) -> bool:
    """Whether it held what an earlier call was refused for, which the proxy remembered: a finding is old, and its turn is not."""
    return any(
        found.why == "history" and not exchange.is_answered(found.part)
        for one in record.rules
        for found in one.findings
    )
