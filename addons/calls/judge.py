"""Judges calls in a tenant's name: by its rules, under its keys; a large call in a thread."""

import asyncio
import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from addons.calls.clean_texts import CleanTexts, TenantCleanTexts
from addons.calls.documents.reader import DocumentReader
from addons.calls.large_work import LargeWork
from addons.calls.originals import originals_of
from addons.calls.reading import CallRequest, Judgement, Reading, judge, read_next
from addons.calls.refused_texts import Candidates
from addons.calls.signed_texts import Pair, hashes_of, hashes_of_parts, seen
from addons.calls.state import AnswerPolicy
from addons.calls.turns import Turn, Turns
from addons.tenants.compiled_snapshot import Caller, sha256_hmac
from addons.tenants.remembered import Remembered
from addons.tenants.snapshot import SnapshotHolder
from contract.snapshot import Rate
from rules.commands.lines import unkept
from rules.rulebook import Rulebook
from rules.verdict import Verdict

logger = logging.getLogger("earthflow.judge")

# A call is judged in a thread, so that the event loop serves others meanwhile, where it has
# more characters than this that were not judged before (some ms of scanning, and 100 where they are
# written in several encodings at once),
LARGE = 8 * 1024
# more bytes than this, or a compressed body (reading it alone takes as long),
HUGE = 512 * 1024
# or more texts than this (evaluating them does; reading four times as many strings does, too, or as
# many commas and brackets: a number costs up to 12 µs, fifty levels deep).
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


@dataclass(slots=True)
class _Judging:
    """A call, and by what it is judged."""

    tenant: str
    reading: Reading
    book: Rulebook
    key: bytes
    clean: TenantCleanTexts
    large_work: LargeWork | None  # None: it is judged at once, beside other calls

    async def again(self, **known: Any) -> Judgement:
        """Judge the call with more `known` of it: members of its exchange."""
        exchange = replace(self.reading.exchange, **known)
        self.reading = self.reading._replace(exchange=exchange)
        return await self.run(
            partial(judge, self.reading, self.book, key=self.key, clean=self.clean)
        )

    async def run[Given](self, work: Callable[[], Given]) -> Given:
        """Do some work on the call."""
        if self.large_work is None:
            return work()
        return await self.large_work.run(self.tenant, work)


class CallJudge:
    """Judges for all tenants of the newest snapshot."""

    def __init__(self, holder: SnapshotHolder, remembered: Remembered):
        self._holder, self._remembered = holder, remembered
        self._clean_texts = CleanTexts()
        self._documents = DocumentReader()
        self._turns = Turns()
        self.large_work, self.answer_work = LargeWork(), LargeWork()

    def still(self, caller: Caller) -> Caller | None:
        """The same caller as of now; None where its key has ended. Raises NoSnapshot."""
        return self._holder.current.still(caller)

    @property
    def rate(self) -> Rate:
        """The rate limit of tenants that have none of their own. Raises NoSnapshot."""
        return self._holder.current.snapshot.rate

    async def judge(
        self,
        caller: Caller,
        request: CallRequest,
        read: Read,
        client: Hashable | None = None,
    ) -> JudgedCall:
        """Read a call and judge it. Raises NoSnapshot.

        `client` is the connection, whose next call may continue this one.
        """
        current, tenant = self._holder.current, caller.tenant
        before = self._turns.last(client, tenant.id) if client is not None else None
        reading = _read_next(request, before)
        if reading is None:
            before, small = None, _is_small(request.body) and not request.encoding
            whole = partial(read, request, tenant.id)
            reading = whole() if small else await self.large_work.run(tenant.id, whole)
        else:
            small = True
        if reading.documents:
            texts = await self._documents.read(reading.documents, tenant.id)
            reading = reading.with_texts(texts)
        rulebook = current.ready_rulebook(tenant)
        if rulebook is None:
            make_book = partial(current.rulebook, tenant)
            rulebook = await asyncio.to_thread(make_book)
        book, key = rulebook, current.placeholder_key(tenant)
        clean, hashed = self._clean_texts.of(tenant.id, book.version), sha256_hmac
        parts = reading.exchange.parts
        if before is not None:
            clean.know((part.text for part in parts), before.clean)
            hashed = before.hash

        def work() -> tuple[Judgement, str, str]:
            book.warm()
            prompt_hash = current.prompt_hash(tenant, reading.prompt, hashed)
            kept = current.kept_prompt(tenant, reading.exchange)
            return judge(reading, book, key=key, clean=clean), prompt_hash, kept

        quick = (
            small
            and book.ready
            and len(parts) <= MANY
            and clean.fresh(part.text for part in parts) + unkept(parts) <= LARGE
        )
        beside = None if quick else self.large_work
        judging = _Judging(tenant.id, reading, book, key, clean, beside)
        judgement, prompt_hash, prompt = await judging.run(work)
        judgement = await self._with_memory(judging, judgement)
        make = partial(_answer_policy, judging, judgement.verdict)
        policy = await judging.run(make) if judgement.verdict.restore else make()
        if client is not None and (conversation := reading.conversation) is not None:
            self._turns.keep(client, Turn(tenant.id, conversation, clean, before))
        return JudgedCall(
            judging.reading, judgement, prompt_hash, book.version, policy, prompt
        )

    async def _with_memory(self, judging: _Judging, judgement: Judgement) -> Judgement:
        """The judgement, with what is remembered of the call's texts. Without the memory it
        stays what it is, which is never weaker.
        """
        try:
            if judgement.verdict.signed:
                judgement = await self._with_signatures(judging, judgement)
            if judgement.verdict.refusing:
                judgement = await self._with_history(judging, judgement)
        except Exception as error:
            logger.error("%s while texts were recalled", type(error).__name__)
        return judgement

    def saw_signed(self, policy: AnswerPolicy, pairs: Sequence[Pair]) -> None:
        """Remember texts of an answer that are bound to a signature."""
        entries = dict.fromkeys(hashes_of(pairs, policy.key), b"")
        self._remembered.remember_soon("signed", policy.context.tenant, entries)

    async def _with_signatures(
        self, judging: _Judging, judgement: Judgement
    ) -> Judgement:
        """The judgement on a call of whose signed texts it is known which are genuine."""
        exchange, signed = judging.reading.exchange, judgement.verdict.signed
        hashes = hashes_of_parts(exchange, signed, judging.key)
        known = await self._remembered.recall("signed", judging.tenant, hashes.values())
        numbers = seen(hashes, known)
        return await judging.again(signed=numbers) if numbers else judgement

    async def _with_history(self, judging: _Judging, judgement: Judgement) -> Judgement:
        """The judgement on a call of which it is known what was refused before.

        What it is refused for then is remembered before it is.
        """
        candidates = await self._candidates(judging, judgement)
        hashes = candidates.hashes
        known = await self._remembered.recall("refused", judging.tenant, hashes)
        if old := candidates.old(known):
            judgement = await judging.again(refused=old)
            candidates = await self._candidates(judging, judgement)
        if entries := candidates.entries:
            await self._remembered.remember("refused", judging.tenant, entries)
        return judgement

    async def _candidates(self, judging: _Judging, judgement: Judgement) -> Candidates:
        exchange, refusing = judging.reading.exchange, judgement.verdict.refusing
        return await judging.run(partial(Candidates, exchange, refusing, judging.key))


def _is_small(body: bytes) -> bool:
    """Whether a body is read so soon that nobody waits for it."""
    return (
        len(body) <= HUGE
        and body.count(b'"') <= 4 * MANY
        and body.count(b",") + body.count(b"[") <= 4 * MANY
        and body.count(b"\r\n") <= MANY  # sections of a form have some lines each
    )


def _read_next(request: CallRequest, before: Turn | None) -> Reading | None:
    """The reading of a call as the next turn of the one before; None where it must be read
    whole.
    """
    if before is None or request.encoding:
        return None
    more = before.conversation.more(request.body)
    if more is None or not _is_small(more):
        return None
    return read_next(request, before.tenant, before.conversation, more)


def _answer_policy(judging: _Judging, verdict: Verdict) -> AnswerPolicy | None:
    """How the answer will be judged; None where nothing is to be done with it."""
    reading, book = judging.reading, judging.book
    originals = (
        originals_of(reading.exchange, verdict, reading.sources)
        if verdict.restore
        else ()
    )
    if book.answers is None and not originals:
        return None
    context = reading.exchange.but(
        direction="response",
        parts=(),
        unreadable=(),
        size=0,
        refused={},
        signed=frozenset(),
    )
    clean = judging.clean.for_answers()
    return AnswerPolicy(book, context, judging.key, originals, clean)
