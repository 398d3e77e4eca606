"""Judges calls in a tenant's name: by its rules, under its keys; a large call in a thread."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from addons.calls.clean_texts import CleanTexts
from addons.calls.reading import CallRequest, Judgement, Reading, judge
from addons.calls.refused_texts import Candidates
from addons.calls.state import AnswerPolicy
from addons.tenants.remembered import Remembered
from addons.tenants.snapshot import Caller, SnapshotHolder
from contract.snapshot import Rate
from rules.exchange import Exchange
from rules.rulebook import Rulebook

# A call is judged in a thread, so that the event loop serves others meanwhile, where it has
# more characters than this that were not judged before (10 ms or so of scanning),
LARGE = 32 * 1024
# more bytes than this, or a compressed body (reading it alone takes as long),
HUGE = 256 * 1024
# or more texts than this (evaluating them does).
MANY = 1_000

# a call and its tenant's name -> the reading
Read = Callable[[CallRequest, str], Reading]


class JudgedCall(NamedTuple):
    """A call, its judgement, and what the audit and its answer need of it.

    `prompt` is sealed, and empty where the audit keeps no prompts.
    """

    reading: Reading
    judgement: Judgement
    prompt_hash: str
    rulebook: str
    answer_policy: AnswerPolicy | None
    prompt: str = ""


class CallJudge:
    """Judges for all tenants of the newest snapshot."""

    def __init__(self, holder: SnapshotHolder, remembered: Remembered):
        self._holder, self._remembered = holder, remembered
        self._clean_texts = CleanTexts()

    def still(self, caller: Caller) -> Caller | None:
        """The same caller as of now; None where its key has ended. Raises NoSnapshot."""
        return self._holder.current.still(caller)

    @property
    def rate(self) -> Rate:
        """The rate limit of tenants that have none of their own. Raises NoSnapshot."""
        return self._holder.current.snapshot.rate

    async def judge(
        self, caller: Caller, request: CallRequest, read: Read
    ) -> JudgedCall:
        """Read a call and judge it. Raises NoSnapshot."""
        current, tenant = self._holder.current, caller.tenant
        small = len(request.body) <= HUGE and not request.encoding
        reading = (
            read(request, tenant.id)
            if small
            else await asyncio.to_thread(read, request, tenant.id)
        )
        rulebook = current.library.ready(tenant.preset, tenant.id)
        if rulebook is None:
            rulebook = await asyncio.to_thread(current.rulebook, tenant)
        book, key = rulebook, current.placeholder_key(tenant)
        clean = self._clean_texts.of(tenant.id, book.version)
        parts = reading.exchange.parts

        def work() -> tuple[Judgement, str, str]:
            book.warm()
            prompt_hash = current.prompt_hash(tenant, reading.prompt)
            kept = current.kept_prompt(tenant, parts)
            return judge(reading, book, key=key, clean=clean), prompt_hash, kept

        quick = (
            small
            and book.ready
            and len(parts) <= MANY
            and clean.fresh(part.text for part in parts) <= LARGE
        )
        judgement, prompt_hash, prompt = (
            work() if quick else await asyncio.to_thread(work)
        )
        if judgement.verdict.refusing:

            async def again(exchange: Exchange) -> Judgement:
                changed = reading._replace(exchange=exchange)
                run = partial(judge, changed, book, key=key, clean=clean)
                return run() if quick else await asyncio.to_thread(run)

            reading, judgement = await self._with_history(
                tenant.id, key, reading, judgement, again
            )
        restore = judgement.verdict.restore
        policy = _answer_policy(reading.exchange, book, key, restore)
        return JudgedCall(reading, judgement, prompt_hash, book.version, policy, prompt)

    async def _with_history(
        self,
        tenant: str,
        key: bytes,
        reading: Reading,
        judgement: Judgement,
        again: Callable[[Exchange], Awaitable[Judgement]],
    ) -> tuple[Reading, Judgement]:
        """A call that would be refused, judged again with what was refused before as history.

        What it is refused for then is remembered before it is.
        """
        exchange, refusing = reading.exchange, judgement.verdict.refusing
        make = partial(Candidates, key=key)
        candidates = await asyncio.to_thread(make, exchange, refusing)
        known = await self._remembered.recall("refused", tenant, candidates.hashes)
        old = candidates.old(known)
        if old:
            exchange = replace(exchange, refused=old)
            reading, judgement = (
                reading._replace(exchange=exchange),
                await again(exchange),
            )
            refusing = judgement.verdict.refusing
            candidates = await asyncio.to_thread(make, exchange, refusing)
        if refusing:
            await self._remembered.remember("refused", tenant, candidates.entries)
        return reading, judgement


def _answer_policy(
    exchange: Exchange, book: Rulebook, key: bytes, restore: tuple[tuple[str, str], ...]
) -> AnswerPolicy | None:
    """How the answer will be judged; None where nothing is to be done with it."""
    plain = tuple(pair for pair in restore if _needs_no_escapes(pair[1]))
    if book.answers is None and not plain:
        return None
    context = replace(exchange, direction="response", parts=(), unreadable=(), size=0)
    return AnswerPolicy(book, context, key, plain)


def _needs_no_escapes(text: str) -> bool:
    """Whether a text stands in JSON as it is, at any depth.

    The arguments of a tool call are JSON inside a JSON string; what is put back there must
    not need escapes, of which it would need twice as many.
    """
    try:
        same = json.dumps(text, ensure_ascii=False)[1:-1] == text
        return same and bool(text.encode())
    except UnicodeEncodeError:
        return False
