"""Looks up names of hosts: in threads of its own, each name once at a time, with a deadline and a memory.

uvloop's four threads serve all of the process; names that no server answers for would hold them for
minutes, and with them everybody's connections. Names of AI providers have threads of their own here.
"""

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any

# Seconds for one answer. Name servers answer within one; the system's own resolver asks for up to 30.
DEADLINE = 5.0
# Seconds for which answers are kept: providers change theirs every minute or so; a name that
# nobody knew may be made in this moment.
KEPT, KEPT_FAILURE = 30.0, 5.0
MOST_KEPT = 10_000  # names
# Names that are looked up at once: of providers, of all other hosts, and of these for one key.
# A thread that waits takes some 100 KB.
OF_PROVIDERS, OF_OTHERS, OF_ONE = 32, 64, 8

Answers = Sequence[str]  # addresses
LookUp = Callable[..., list[Any]]


class Busy(OSError):
    """More names than the bound are looked up for one key, or for all."""


class Names:
    """The names of one proxy. `is_provider` tells whose look-ups others cannot hold up."""

    def __init__(
        self,
        is_provider: Callable[[str], bool] = lambda host: False,
        look_up: LookUp = socket.getaddrinfo,
    ):
        self._is_provider, self._look_up = is_provider, look_up
        self._known: dict[str, tuple[float, Answers | OSError]] = {}
        self._running: dict[str, asyncio.Future[Answers]] = {}
        self._threads: Counter[bool] = Counter()  # by whether they are a provider's
        # Of each key the names that it waits for, and how many of its calls do.
        self._of_key: dict[Hashable, Counter[str]] = {}

    async def addresses(self, host: str, key: Hashable = None) -> Answers:
        """The addresses of a name, looked up for an Earthflow key. Raises OSError."""
        until, known = self._known.get(host, (0.0, ()))
        if time.monotonic() < until:
            if isinstance(known, OSError):
                raise known
            return known
        asked = self._of_key.setdefault(key, Counter())
        if host not in asked and len(asked) >= OF_ONE and not self._is_provider(host):
            raise Busy("too many names are looked up for this key; try again")
        asked[host] += 1
        try:
            running = self._running.get(host) or self._start(host)
            # The look-up goes to its end for others, and for the memory.
            async with asyncio.timeout(DEADLINE):
                return await asyncio.shield(running)
        except TimeoutError:
            raise OSError(
                f"no name server answered within {DEADLINE:g} seconds"
            ) from None
        finally:
            asked[host] -= 1
            if not asked[host]:
                del asked[host]
            if not asked:
                self._of_key.pop(key, None)

    def _start(self, host: str) -> asyncio.Future[Answers]:
        of_provider = self._is_provider(host)
        if self._threads[of_provider] >= (OF_PROVIDERS if of_provider else OF_OTHERS):
            raise Busy("too many names are looked up; try again")
        loop = asyncio.get_running_loop()
        running: asyncio.Future[Answers] = loop.create_future()
        # Nobody may wait for it any more.
        running.add_done_callback(lambda done: done.exception())
        self._running[host] = running
        self._threads[of_provider] += 1

        def end(found: Answers | OSError) -> None:
            self._threads[of_provider] -= 1
            del self._running[host]
            self._keep(host, found)
            if isinstance(found, OSError):
                running.set_exception(found)
            else:
                running.set_result(found)

        def run() -> None:
            found = self._ask(host)
            if not loop.is_closed():
                loop.call_soon_threadsafe(end, found)

        # A daemon: the end of the proxy waits for no name server.
        try:
            threading.Thread(target=run, name="name look-up", daemon=True).start()
        except RuntimeError:  # there are no threads left
            end(Busy("no name can be looked up now; try again"))
        return running

    def _ask(self, host: str) -> Answers | OSError:
        try:
            answers = self._look_up(host, 0, type=socket.SOCK_STREAM)
        except OSError as error:
            return error
        except Exception:  # no name: an empty label, or one too long
            return OSError("is no name of a host")
        return list(dict.fromkeys(str(answer[4][0]) for answer in answers))

    def _keep(self, host: str, found: Answers | OSError) -> None:
        kept = KEPT_FAILURE if isinstance(found, OSError) else KEPT
        self._known.pop(host, None)
        self._known[host] = (time.monotonic() + kept, found)
        while len(self._known) > MOST_KEPT:
            del self._known[next(iter(self._known))]
