"""What an exception of Earthflow's own code becomes: the one guard, and the one place
that decides.

mitmproxy lets a request through when a hook raises. Here every step that could let
something pass is `guarded`: an exception becomes a recorded refusal, or, where the
operator set EARTHFLOW_FAIL_MODE=open, a recorded pass of a call whose caller is known.
Streams and WebSockets catch exceptions where they hold state, and ask
`Failures.passes`. Do not weaken this: a step without the guard, or one that decides for
itself, bypasses the rules.
"""

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from addons.calls.flow import Flow
from addons.calls.refusal import (
    AUDIT_FULL,
    PASS,
    UNAVAILABLE,
    Refusal,
    Refuse,
    Refuser,
    Step,
    plain,
    refused,
)
from addons.calls.state import CallState, address_of, state_of
from addons.providers.error_formats import FAILED
from addons.record.recorder import Recorder
from addons.record.spool import SpoolFull
from addons.settings import ProxySettings
from addons.status.health import Health
from addons.tenants.snapshot import NoSnapshot

logger = logging.getLogger("earthflow.failures")

MAX_FRAMES = 40  # of a logged chain: RecursionError has a thousand, all alike


class Guarded(Protocol):
    """Whoever has guarded steps."""

    @property
    def failures(self) -> "Failures":
        """What decides about their exceptions."""


def guarded(step: Callable[..., Any]) -> Callable[..., Any]:
    """Turn whatever a step raises into what `Failures.step` makes of it."""

    @functools.wraps(step)
    async def guard_async(self: Guarded, flow: Flow) -> Step:
        try:
            result: Awaitable[Step] = step(self, flow)
            return await result
        except Exception as error:
            return self.failures.step(flow, error)

    @functools.wraps(step)
    def guard(self: Guarded, flow: Flow) -> Step:
        try:
            result: Step = step(self, flow)
            return result
        except Exception as error:
            return self.failures.step(flow, error)

    return guard_async if inspect.iscoroutinefunction(step) else guard


class Failures:
    """Counts and logs failures, and decides what they become."""

    def __init__(
        self,
        settings: ProxySettings,
        recorder: Recorder,
        refuser: Refuser,
        health: Health,
    ):
        self._recorder, self._refuser, self._health = recorder, refuser, health
        self._fail_mode = settings.fail_mode
        self._status = int(settings.block_status)
        self._in_development = settings.env == "development"

    def passes(self, error: Exception, where: str) -> bool:
        """Count and log a failure in `where`; whether what could not be judged passes."""
        if isinstance(error, SpoolFull):
            return False  # the writer of records says so once, and health
        self._health.count_failure()
        logger.error(
            "%s at %s in %s (EARTHFLOW_FAIL_MODE=%s)",
            type(error).__name__,
            chain_of(error) if self._in_development else place_of(error),
            where,
            self._fail_mode,
        )
        return self._fail_mode == "open" and not isinstance(error, NoSnapshot)

    def step(self, flow: Flow, error: Exception) -> Step:
        """What a failed step becomes: refused and recorded, or passed and recorded."""
        if isinstance(error, SpoolFull):
            return self._unrecorded(flow)
        passes = self.passes(error, "a hook")
        state = state_of(flow)
        why = str(error) if isinstance(error, NoSnapshot) else "engine_error"
        if state is None:
            return Refuse(plain(UNAVAILABLE, f"Earthflow cannot judge now: {why}"))
        try:
            if isinstance(error, NoSnapshot):
                message = f"Earthflow cannot judge now: {why}"
                refusal = Refusal("no_snapshot", UNAVAILABLE, message, code=FAILED)
                return self._refuser.refuse(flow, refusal)
            return self._recorded(flow, state, place_of(error), passes)
        except SpoolFull:
            return self._unrecorded(flow)
        except Exception as second:  # not even a record: nothing may pass
            logger.critical(
                "%s at %s while recording a failure",
                type(second).__name__,
                place_of(second),
            )
            message = "Earthflow cannot record this call, so it is refused."
            return Refuse(plain(UNAVAILABLE, message))

    def _unrecorded(self, flow: Flow) -> Step:
        """A call that would not be in the audit, whatever EARTHFLOW_FAIL_MODE."""
        if state_of(flow) is None:
            return Refuse(plain(UNAVAILABLE, AUDIT_FULL.message))
        return self._refuser.refuse(flow, AUDIT_FULL)

    def _recorded(self, flow: Flow, state: CallState, place: str, passes: bool) -> Step:
        message = "Earthflow could not judge this call"
        if state.record is None and passes and flow.request.method != "CONNECT":
            state.record = self._recorder.passed(
                state.caller,
                address_of(flow),
                "engine_error",
                provider=state.provider.name if state.provider else "",
            )
            step: Step = PASS
        elif state.record is None:
            refusal = Refusal("engine_error", self._status, message, code=FAILED)
            step = self._refuser.refuse(flow, refusal)
        elif flow.response is not None and passes:  # the answer of a decided call
            step = PASS
        else:  # decided already, and the decision cannot be carried out
            state.record.refused = True
            message = f"{message} (decision {state.record.id})"
            step = Refuse(refused(flow, state, self._status, message, code=FAILED))
        assert state.record is not None
        state.record.failure = place
        return step


def place_of(error: BaseException) -> str:
    """Where an error was raised, `file.py:line`. Its text is left out: it may quote a secret."""
    return _places(error)[-1]


def chain_of(error: BaseException) -> str:
    """The call chain of an error and of its causes, as `file.py:line` alone, outermost first."""
    chains = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        chains.append(" > ".join(_places(current)))
        current = current.__cause__ or current.__context__
    return " caused by ".join(chains)


def _places(error: BaseException) -> list[str]:
    places: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename.rpartition("/")[2]
        places.append(f"{file}:{trace.tb_lineno}")
        trace = trace.tb_next
    return places[-MAX_FRAMES:] or ["unknown"]
