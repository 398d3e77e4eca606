"""Sends one signed POST of a webhook (standardwebhooks.com), to public addresses by
HTTPS. Redirects are not followed; of the answer only the status is kept.
"""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import socket
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from contract.addresses import is_internal, is_public
from contract.version import VERSION

PREFIX = "whsec_"
# Characters; longer ones are refused by common servers, too.
MAX_URL = 2000
# For a name to resolve when a webhook is made; one that does not is looked up again for each delivery.
RESOLVE_SECONDS = 2.0
# Threads, and names in question: silent name servers hold a thread for 30 s each.
RESOLVERS, MOST_ASKED = 32, 1000


class Denied(OSError):
    """The URL leads to an address that control does not connect to for a tenant."""


class Answer(NamedTuple):
    """The result of an attempt: the receiver's status, or why there is none."""

    status: int | None
    error: str
    took_ms: int

    @property
    def taken(self) -> bool:
        """Whether the receiver accepted it."""
        return self.status is not None and 200 <= self.status < 300


def complaint(url: str) -> str:
    """Why a webhook cannot have this URL; empty where it can."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "it is no URL"
    if parts.scheme != "https" or not host:
        return "it must begin with https:// and name a host"
    if parts.username is not None or parts.password is not None:
        return (
            "it must not have a user name or a password; deliveries are signed instead"
        )
    if (
        len(url) > MAX_URL
        or parts.fragment
        or not url.isascii()
        or any(one <= " " for one in url)
    ):
        return "it is too long, or holds what a URL for a server does not"
    return ""


def sign(secret: bytes, id: str, timestamp: int, body: bytes) -> str:
    """The signature of a delivery, by one secret."""
    return (
        "v1,"
        + base64.b64encode(
            hmac.digest(secret, f"{id}.{timestamp}.".encode() + body, hashlib.sha256)
        ).decode()
    )


def shown(secret: bytes) -> str:
    """A secret in the form that a verifier takes."""
    return PREFIX + base64.b64encode(secret).decode()


class Sender:
    """Sends deliveries. Use `start` and `close`.

    Hosts in `internal` may be in a private network (and, in development, on this
    machine).
    """

    def __init__(
        self,
        timeout: float,
        internal: frozenset[str],
        roots: Path | None,
        *,
        development: bool,
    ):
        self._timeout = timeout
        self._internal = internal
        self._development = development
        self._tls = ssl.create_default_context()
        if roots is not None:
            self._tls.load_verify_locations(roots)

    def start(self) -> None:
        """Open the session."""
        self._resolver = _Resolver(self)
        connector = aiohttp.TCPConnector(
            resolver=self._resolver,
            ssl=self._tls,
            limit=0,
            force_close=True,
            use_dns_cache=False,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._session.close()

    async def send(
        self, url: str, id: str, body: bytes, secrets: Sequence[bytes]
    ) -> Answer:
        """Try once. Never raises for a URL or a receiver."""
        began, now = time.monotonic(), int(time.time())
        headers = {
            "content-type": "application/json", "user-agent": f"Earthflow/{VERSION}", "webhook-id": id, "webhook-timestamp": str(now),
            "webhook-signature": " ".join(sign(secret, id, now, body) for secret in secrets),
        }  # fmt: skip
        status, error = None, ""
        try:
            self.check(urlsplit(url).hostname or "", urlsplit(url).hostname or "")
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                status = answer.status
                error = "" if 200 <= status < 300 else f"the receiver answered {status}"
        except TimeoutError:
            error = f"no answer within {self._timeout:g} s"
        except Denied as denied:
            error = str(denied)
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            error = _reason(failure)
        return Answer(status, error, round((time.monotonic() - began) * 1000))

    async def denied(self, url: str) -> str:
        """Why the host of this URL is not connected to; empty where it is, or is not known yet."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        try:
            self.check(host, host)
            async with asyncio.timeout(RESOLVE_SECONDS):
                await self._resolver.resolve(host, parts.port or 443)
        except Denied as denied:
            return str(denied)
        except (OSError, ValueError):  # no answer is in time, or at all
            return ""
        return ""

    def check(self, host: str, address: str) -> None:
        """Raises Denied where the host is a literal address that must not be connected
        to.
        """
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return
        named = host.lower().rstrip(".") in self._internal
        if not (
            is_public(address)
            or (
                named
                and (is_internal(address) or (self._development and ip.is_loopback))
            )
        ):
            raise Denied(
                f"{host} is not a public address; name it in WEBHOOK_INTERNAL_HOSTS if it is your own"
            )


class _Resolver(AbstractResolver):
    """Resolves names; every address is checked, and only checked ones are connected to."""

    def __init__(self, sender: Sender):
        self._sender = sender
        # so that a silent name server does not block other names
        self._threads = ThreadPoolExecutor(RESOLVERS, "webhook-names")
        self._pending: dict[
            tuple[str, int], asyncio.Future[list[Any]]
        ] = {}  # one question at a time for each name

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """As aiohttp asks. Raises Denied, or OSError where the name does not resolve."""
        found: list[ResolveResult] = []
        for family_, _, protocol, _, address in await self._ask(host, port):
            self._sender.check(host, str(address[0]))
            result: Any = {
                "hostname": host,
                "host": address[0],
                "port": port,
                "family": family_,
                "proto": protocol,
                "flags": 0,
            }
            found.append(result)
        return found

    async def _ask(self, host: str, port: int) -> list[Any]:
        asked = self._pending.get((host, port))
        if asked is None:
            if len(self._pending) >= MOST_ASKED:
                raise OSError("too many names are being looked up")
            asked = asyncio.get_running_loop().run_in_executor(
                self._threads, _addresses, host, port
            )
            self._pending[host, port] = asked
            asked.add_done_callback(lambda done: self._answered((host, port), done))
        return await asyncio.shield(asked)

    def _answered(
        self, name: tuple[str, int], done: "asyncio.Future[list[Any]]"
    ) -> None:
        self._pending.pop(name, None)
        if not done.cancelled():
            done.exception()  # the asker may be gone

    async def close(self) -> None:
        """Nothing waits."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _addresses(host: str, port: int) -> list[Any]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _reason(failure: Exception) -> str:
    """The error, without what a receiver may have put into it."""
    causes = (failure, failure.__cause__, getattr(failure, "os_error", None))
    denied = next((cause for cause in causes if isinstance(cause, Denied)), None)
    return str(denied) if denied else f"it cannot be reached ({type(failure).__name__})"
