"""Judging in a tenant's name: by its rules, under its keys, with what is remembered of its texts; beside the loop where it is much."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from addons.answer import goes_unescaped
from addons.judging import Judgement, Reading, Request, judge
from addons.passage import Asked
from addons.rulebooks import Memory
from addons.snapshot import Holder, Identity
from contract.snapshot import Rate
from rules.exchange import Exchange
from rules.rulebook import Rulebook

# What is judged in a thread, so that other calls go on meanwhile: more than so many characters that were not judged before,
# compressed bodies, and calls of more than so many bytes or parts, whatever is known of them.
LARGE, HUGE, MANY = 32 * 1024, 256 * 1024, 1_000


class Judged(NamedTuple):
    """A call, what to do with it, what the audit keeps of it, by which rules, and what its answer is judged by, if by anything."""

    reading: Reading
    judgement: Judgement
    prompt_hash: str
    rulebook: str
    asked: Asked | None
    prompt: str = ""  # closed, where the audit keeps prompts


class Judges:
    """For all tenants that `holder` knows of."""

    def __init__(self, holder: Holder):
        self._holder = holder
        self._memory = Memory()

    def still(self, identity: Identity) -> Identity | None:
        """The same caller as of now, or None where its key has since ended. Raises NoSnapshot."""
        return self._holder.knowledge.still(identity)

    @property
    def rate(self) -> Rate:
        """What tenants may ask for that have no limit of their own. Raises NoSnapshot."""
        return self._holder.knowledge.snapshot.rate

    async def judge(
        self, identity: Identity, request: Request, read: Callable[[Request, str], Reading]
    ) -> Judged:
        """Read a call and judge it. Raises NoSnapshot."""
        knowledge, tenant = self._holder.knowledge, identity.tenant
        small = len(request.body) <= HUGE and not request.encoding
        reading = read(request, tenant.id) if small else await asyncio.to_thread(read, request, tenant.id)
        ready = knowledge.library.ready(tenant.preset, tenant.id)
        rulebook = ready if ready is not None else await asyncio.to_thread(knowledge.rulebook, tenant)
        clean, key = self._memory.of(tenant.id, rulebook.version), knowledge.placeholder_key(tenant)

        def work() -> tuple[Judgement, str, str]:
            rulebook.warm()
            hashed, kept = (
                knowledge.prompt_hash(tenant, reading.prompt),
                knowledge.kept_prompt(tenant, reading.exchange.parts),
            )
            return judge(reading, rulebook, key=key, clean=clean), hashed, kept

        parts = reading.exchange.parts
        quick = (
            small
            and rulebook.ready
            and len(parts) <= MANY
            and clean.fresh(part.text for part in parts) <= LARGE
        )
        judgement, prompt_hash, prompt = work() if quick else await asyncio.to_thread(work)
        asked = _asked(reading.exchange, rulebook, key, judgement.verdict.restore)
        return Judged(reading, judgement, prompt_hash, rulebook.version, asked, prompt)


def _asked(
    exchange: Exchange, book: Rulebook, key: bytes, restore: tuple[tuple[str, str], ...]
) -> Asked | None:
    """What the answer will be judged by; None where nothing is to be done with it."""
    plain = tuple(pair for pair in restore if goes_unescaped(pair[1]))
    if book.answers is None and not plain:
        return None
    return Asked(book, replace(exchange, direction="response", parts=(), unreadable=(), size=0), key, plain)
