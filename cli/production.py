"""`earthflow doctor --production`: the deployment guide's checklist (11), item by item.

Each is `ok`, `failed` with what to do, or `attest`: only a person can know. It reads the settings
of the environment that it runs in, and asks control for what tenants have.
"""

import os
import string
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cryptography import x509
from cryptography.fernet import Fernet

from cli import remote
from cli.errors import CommandError
from cli.settings import environment

State = Literal["ok", "failed", "attest"]
# How a secret begins that is an example's, or was made up in a hurry.
WEAK = ("<", "your-", "your_", "changeme", "change-me", "example", "secret", "password", "admin-key")  # fmt: skip
SHORTEST_KEY, SHORTEST_PASSWORD, LONG_PASSWORD = 32, 16, 24
# What settings take for true; empty: the default.
YES = ("", "true", "1", "yes", "on", "t", "y")
LOOPBACK = ("127.0.0.1", "localhost", "::1", "")
# A month, and some days for the timer; a day, and some hours.
ROTATED, BACKED_UP = timedelta(days=35), timedelta(hours=30)
BACKUPS = Path("/var/backups/earthflow")


class Item(NamedTuple):
    """An item of the checklist: its state, and what to do or to know."""

    item: str
    state: State
    detail: str = ""


@dataclass
class Facts:
    """What the checks look at."""

    told: Mapping[str, str]
    backups: Path
    contained: bool  # this runs in a container

    @cached_property
    def tenants(self) -> list[dict[str, Any]]:
        """The tenants, as control tells them. Raises CommandError."""
        found: list[dict[str, Any]] = remote.control().get("/v1/tenants")["tenants"]
        return found

    def of_each(self, what: str) -> list[dict[str, Any]]:
        """The keys or webhooks of all tenants. Raises CommandError."""
        control = remote.control()
        return [
            {**one, "tenant": tenant["id"]}
            for tenant in self.tenants
            for one in control.get(f"/v1/tenants/{tenant['id']}/{what}")[what]
        ]


Check = Callable[[Facts], tuple[State, str]]


def checklist(backups: Path = BACKUPS) -> list[Item]:
    """All items of the environment that this runs in."""
    told = environment()
    facts = Facts(told, backups, _is_contained(told))
    return [_item(name, check, facts) for name, check in CHECKS]


def _is_contained(told: Mapping[str, str]) -> bool:
    """Whether this is our image, in a container."""
    runs = Path("/.dockerenv").exists() or "KUBERNETES_SERVICE_HOST" in told
    return runs and sys.prefix.startswith("/opt/earthflow")


def _item(name: str, check: Check, facts: Facts) -> Item:
    try:
        return Item(name, *check(facts))
    except CommandError as error:
        return Item(name, "failed", str(error))


def _master_key(facts: Facts) -> tuple[State, str]:
    try:
        Fernet(facts.told.get("EARTHFLOW_MASTER_KEY", ""))
    except ValueError:
        return "failed", "EARTHFLOW_MASTER_KEY is no Fernet key of 32 bytes; see .env.example."  # fmt: skip
    return "ok", ""


def _admin_key(facts: Facts) -> tuple[State, str]:
    key = facts.told.get("EARTHFLOW_ADMIN_API_KEY", "")
    if len(key) < SHORTEST_KEY or key.lower().startswith(WEAK):
        return "failed", "EARTHFLOW_ADMIN_API_KEY is short or an example's; make one as .env.example says."  # fmt: skip
    return "ok", ""


def _database_password(facts: Facts) -> tuple[State, str]:
    if facts.told.get("EARTHFLOW_DATABASE_URL"):
        return "attest", "EARTHFLOW_DATABASE_URL has its own way of signing in."
    password = facts.told.get("POSTGRES_PASSWORD", "")
    kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
    mixed = sum(any(one in kind for one in password) for kind in kinds)
    mixed += any(not one.isalnum() for one in password)
    strong = len(password) >= LONG_PASSWORD or (len(password) >= SHORTEST_PASSWORD and mixed >= 3)  # fmt: skip
    if not strong or password.lower().startswith(WEAK):
        return "failed", f"POSTGRES_PASSWORD needs {SHORTEST_PASSWORD} characters of three kinds, or {LONG_PASSWORD}."  # fmt: skip
    return "ok", ""


def _tls(facts: Facts) -> tuple[State, str]:
    paths = [facts.told.get(name, "") for name in ("TLS_CERT_PATH", "TLS_KEY_PATH")]
    if not all(paths):
        return "failed", "Set TLS_CERT_PATH and TLS_KEY_PATH (docs/guide.md, 6)."
    try:
        certificate = x509.load_pem_x509_certificate(Path(paths[0]).read_bytes())
        Path(paths[1]).open("rb").close()
    except (OSError, ValueError):
        return "failed", f"{paths[0]} or {paths[1]} cannot be read."
    if certificate.not_valid_after_utc <= datetime.now(UTC):
        return "failed", f"{paths[0]} has expired; renew it."
    return "ok", ""


def _dashboard(facts: Facts) -> tuple[State, str]:
    if facts.contained:
        return "attest", "In a container it listens for the network of containers; publish it on 127.0.0.1 only."  # fmt: skip
    host = facts.told.get("EARTHFLOW_DASHBOARD_HOST", "")
    if host in LOOPBACK:
        return "ok", ""
    return "failed", f"Control listens on {host}; set EARTHFLOW_DASHBOARD_HOST=127.0.0.1."  # fmt: skip


def _redis_password(facts: Facts) -> tuple[State, str]:
    url = facts.told.get("EARTHFLOW_REDIS_URL", "")
    if facts.told.get("REDIS_PASSWORD") or "@" in url or url.startswith("unix:"):
        return "ok", ""
    return "failed", "Set REDIS_PASSWORD."


def _prompts(facts: Facts) -> tuple[State, str]:
    if facts.told.get("AUDIT_HASH_PROMPTS", "").lower() in YES:
        return "ok", ""
    return "failed", "AUDIT_HASH_PROMPTS is off, so prompts are kept (closed). Set it to true."  # fmt: skip


def _not_root(facts: Facts) -> tuple[State, str]:
    if os.geteuid() != 0:
        return "ok", ""
    if facts.contained:
        return "failed", "This container runs as root; the image has the user 1000."
    return "attest", "Run this as the user that the services have."


def _read_only(facts: Facts) -> tuple[State, str]:
    if not facts.contained:
        return (
            "attest",
            "No container here: the systemd units have ProtectSystem=strict.",
        )
    if os.access("/", os.W_OK) and not os.statvfs("/").f_flag & os.ST_RDONLY:
        return "failed", "The root file system can be written; set read_only: true."
    return "ok", ""


def _limits(facts: Facts) -> tuple[State, str]:
    without = [one["id"] for one in facts.tenants if not one.get("max_requests_per_minute")]  # fmt: skip
    if without:
        return "failed", f"No limit of its own has: {_some(without)}. earthflow tenants update ID --max-requests-per-minute N"  # fmt: skip
    return "ok", ""


def _webhooks(facts: Facts) -> tuple[State, str]:
    plain = [one["id"] for one in facts.of_each("webhooks") if not one["url"].startswith("https://")]  # fmt: skip
    if plain:
        return "failed", f"Not by https: {_some(plain)}."
    return "ok", ""


def _rotation(facts: Facts) -> tuple[State, str]:
    now = datetime.now(UTC)
    old = [
        f"{key['tenant']}/{key['id']}"
        for key in facts.of_each("keys")
        if key["status"] == "live"
        and now - datetime.fromisoformat(key["created_at"]) > ROTATED
    ]
    if old:
        return "failed", f"Older than {ROTATED.days} days: {_some(old)}. earthflow keys rotate, or its timer"  # fmt: skip
    return "ok", ""


def _backups(facts: Facts) -> tuple[State, str]:
    try:
        times = [
            one.stat().st_mtime
            for one in facts.backups.iterdir()
            if one.name.endswith((".backup", ".sql.gz"))
            and one.is_file()
            and one.stat().st_size
        ]
    except OSError:
        times = []
    newest = datetime.fromtimestamp(max(times, default=0), UTC)
    if datetime.now(UTC) - newest > BACKED_UP:
        return "failed", f"{facts.backups} has no backup of the last day (docs/guide.md, 10; --backups names another folder)."  # fmt: skip
    return "ok", ""


def _person(sentence: str) -> Check:
    return lambda facts: ("attest", sentence)


CHECKS: Sequence[tuple[str, Check]] = (
    ("master key", _master_key),
    ("master key kept elsewhere", _person("A copy is in a secret manager, apart from the backups.")),
    ("admin key", _admin_key),
    ("database password", _database_password),
    ("TLS", _tls),
    ("dashboard port", _dashboard),
    ("Redis password", _redis_password),
    ("prompts", _prompts),
    ("not root", _not_root),
    ("read-only", _read_only),
    ("rate limits", _limits),
    ("webhooks", _webhooks),
    ("key rotation", _rotation),
    ("backups", _backups),
    ("backups tried", _person("earthflow restore FILE --drill passed lately.")),
    ("alerts", _person("Prometheus has the alerts of deploy/prometheus/alerts.yml.")),
    ("SECURITY.md", _person("Those who operate it have read it.")),
    ("CI", _person("The tests run on every push.")),
)  # fmt: skip


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")  # fmt: skip
