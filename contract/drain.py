"""The first step of an end: those in front of us notice that we are not ready, and send nobody any more."""

import asyncio
import contextlib

ENDING = "it was asked to end, and soon takes no more connections"


async def noticed(signalled: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until we are asked to end once more."""
    signalled.clear()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(signalled.wait(), seconds)
