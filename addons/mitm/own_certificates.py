"""The certificates that the proxy shows, of its CA and of its own port. What is renewed in
their files is taken up while it serves: connections that are open keep what they have.
"""

import asyncio
import datetime as dt
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from addons.mitm.certificates import (
    CA_FILE,
    ROOTS_FILE,
    BadCertificate,
    OuterTLS,
    read_ca,
    use_ca,
)
from addons.settings import ProxySettings
from contract.authority import not_covered
from contract.providers import ai_hosts, providers

logger = logging.getLogger("earthflow.tls")

LOOK_SECONDS = 2.0
# Days before their end from which on /health/ready says so. An issuer is renewed 60 days before
# its end, a certificate of Let's Encrypt 30.
CA_DAYS, PORT_DAYS = 30, 7

Signature = tuple[int, ...] | None


class OwnCertificates:
    """The CA, and the port's own certificate where it has one.

    Built before serving, so that what is wrong is reported at the start.
    """

    def __init__(self, settings: ProxySettings):
        """Raises BadCertificate or BadProviders."""
        self._folder = settings.ca_dir
        self._hosts = ai_hosts(providers(settings.providers))
        port = (settings.tls_cert, settings.tls_key, settings.tls_ca)
        self._files = {
            "ca": (self._folder / CA_FILE, self._folder / ROOTS_FILE),
            "port": tuple(filter(None, port)),
        }
        self._seen = self._looked()  # before they are read
        self._signer = read_ca(self._folder)
        self._confdir = settings.confdir
        _link(self._folder / CA_FILE, self._confdir)
        self.outer: OuterTLS | None = None
        if settings.tls_cert and settings.tls_key:
            self.outer = OuterTLS(settings.tls_cert, settings.tls_key, settings.tls_ca)
        # What was found in changed files, and is not used.
        self._complaints: dict[str, str] = {}

    @property
    def days(self) -> dict[str, float]:
        """How long the certificates last: the CA's, and the port's where it has one."""
        ends = {"ca": self._signer.until}
        if self.outer is not None:
            ends["port"] = self.outer.until
        now = dt.datetime.now(dt.UTC)
        return {name: (end - now) / dt.timedelta(days=1) for name, end in ends.items()}

    def report(self) -> dict[str, Any]:
        """For `/health/ready`: whole days, and what is wrong, as sentences."""
        days = self.days
        wrong = list(self._complaints.values())
        if missing := not_covered(self._signer.issuer, self._hosts):
            wrong.append(
                f"the CA may not sign for {', '.join(missing)}; run: earthflow ca renew"
            )
        if days["ca"] < CA_DAYS:
            wrong.append("the CA ends soon; run: earthflow ca renew")
        if days.get("port", PORT_DAYS) < PORT_DAYS:
            wrong.append("the certificate in TLS_CERT_PATH ends soon; renew it")
        return {
            "status": "DEGRADED" if wrong else "OK",
            **{f"{name}_days": int(left) for name, left in days.items()},
            **({"detail": ". ".join(wrong)} if wrong else {}),
        }

    async def follow(self, inner: Any) -> None:
        """Take up what changes. `inner` is mitmproxy's TLS addon."""
        if detail := self.report().get("detail"):
            logger.warning("%s", detail)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            found = await asyncio.to_thread(self._looked)
            if found != self._seen:
                self._take(found, inner)

    def _take(self, found: dict[str, tuple[Signature, ...]], inner: Any) -> None:
        """Take up what changed. What cannot be used is named, and what is in use stays."""
        before, self._seen = self._seen, found
        if self._seen["ca"] != before["ca"]:
            self._try("ca", partial(self._take_ca, inner))
        if self.outer is not None and self._seen["port"] != before["port"]:
            self._try("port", self.outer.read_files)

    def _take_ca(self, inner: Any) -> None:
        self._signer = read_ca(self._folder)
        use_ca(inner, self._confdir)

    def _try(self, which: str, take: Callable[[], None]) -> None:
        self._complaints.pop(which, None)
        try:
            take()
        except (BadCertificate, OSError, ValueError) as error:
            self._complaints[which] = f"{error}; the one before stays in use"
            logger.error("%s", self._complaints[which])
        else:
            logger.info("took up a renewed certificate (%s)", which)

    def _looked(self) -> dict[str, tuple[Signature, ...]]:
        """What tells that a file was changed or exchanged, through links, too."""
        return {
            name: tuple(map(_signature, paths)) for name, paths in self._files.items()
        }


def _link(file: Path, confdir: Path) -> None:
    """Let mitmproxy find the CA in a folder into which it may write."""
    confdir.mkdir(parents=True, exist_ok=True, mode=0o700)
    link = confdir / file.name
    if not link.is_symlink() or link.readlink() != file:
        link.unlink(missing_ok=True)
        link.symlink_to(file)


def _signature(path: Path) -> Signature:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
