"""One snapshot, ready to judge by: its keys, tenants and rulebooks."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from addons.tenants.kept import kept
from contract.kept import seal
from contract.keys import digest, parse
from contract.proof import record_key
from contract.snapshot import KeyEntry, Snapshot, TenantEntry
from contract.unwrap import placeholder_key, unwrap
from rules.exchange import Exchange
from rules.hyperscan_engine import Store
from rules.known import NONE, KnownValue, KnownValues, mark_of
from rules.load import Library
from rules.rulebook import Rulebook
from rules.testing import proven

Hash = Callable[[bytes, bytes], bytes]  # a key and a body


def sha256_hmac(key: bytes, body: bytes) -> bytes:
    """The HMAC of a body."""
    return hmac.digest(key, body, "sha256")


@dataclass(frozen=True)
class Caller:
    """Who calls: a tenant, by one of its keys."""

    tenant: TenantEntry
    key: KeyEntry


class CompiledSnapshot:
    """One snapshot, compiled. Immutable; a call takes it once and keeps it."""

    def __init__(
        self,
        snapshot: Snapshot,
        master: str,
        store: Store | None = None,
        before: "CompiledSnapshot | None" = None,
    ):
        """Raises BadRules or WrongMasterKey; then nothing of it is used.

        Rulebooks of `before` are reused.
        """
        self.snapshot = snapshot
        self._data_key = (
            unwrap(master, snapshot.data_key).decode() if snapshot.data_key else master
        )
        # Of records; control of an earlier version has no data key, and asks for no MAC.
        self.record_key = record_key(self._data_key) if snapshot.data_key else None
        self._pepper = unwrap(self._data_key, snapshot.pepper)
        self._keys = {key.id: key for key in snapshot.keys}
        self._tenants = {tenant.id: tenant for tenant in snapshot.tenants}
        same = before is not None and before.snapshot.rules == snapshot.rules
        library = (
            before.library
            if before is not None and same
            else Library(snapshot.rules, store=store)
        )
        self.library: Library = proven(
            library, sorted({tenant.preset for tenant in snapshot.tenants})
        )
        self._prompt_keys: dict[str, bytes] = {}
        self._placeholder_keys: dict[str, bytes] = {}
        earlier = before._known if before is not None else {}
        self._known: dict[str, KnownValues] = {
            tenant.id: self._opened(tenant, earlier.get(tenant.id))
            for tenant in snapshot.tenants
            if tenant.known
        }

    def compile_as(self, before: "CompiledSnapshot") -> None:
        """Compile the rulebooks with known values that were in use before; takes seconds."""
        for id in self._known:
            if (tenant := before._tenants.get(id)) and before.ready_rulebook(tenant):
                self.rulebook(self._tenants[id])

    def _opened(self, tenant: TenantEntry, earlier: KnownValues | None) -> KnownValues:
        """The known values of a tenant; those of `earlier` where they are the same."""
        mark = mark_of((one.name, one.value, one.any_case) for one in tenant.known)
        if earlier is not None and earlier.mark == mark:
            return earlier
        values = (
            KnownValue(
                one.name, unwrap(self._data_key, one.value).decode(), one.any_case
            )
            for one in tenant.known
        )
        return KnownValues(mark, tuple(values))

    def caller(self, text: str) -> Caller | None:
        """The owner of a key, or None. A wrong secret takes as long as a right one."""
        key = parse(text)
        if key is None:
            return None
        entry = self._keys.get(key.id)
        expected = entry.digest if entry else ""
        if (
            not hmac.compare_digest(digest(self._pepper, key.secret), expected)
            or entry is None
        ):
            return None
        return self._live(entry)

    def still(self, caller: Caller) -> Caller | None:
        """The same caller in this snapshot; None where the key has ended."""
        entry = self._keys.get(caller.key.id)
        return (
            self._live(entry) if entry and entry.digest == caller.key.digest else None
        )

    def _live(self, entry: KeyEntry) -> Caller | None:
        tenant = self._tenants.get(entry.tenant)
        over = entry.not_after is not None and entry.not_after <= datetime.now(UTC)
        return None if tenant is None or over else Caller(tenant, entry)

    def rulebook(self, tenant: TenantEntry) -> Rulebook:
        """The rules of a tenant; compiled on first use where it has rules or known values of
        its own.
        """
        known = self._known.get(tenant.id, NONE)
        return self.library.rulebook(tenant.preset, tenant.id, known)

    def ready_rulebook(self, tenant: TenantEntry) -> Rulebook | None:
        """The rules of a tenant, if they were compiled before; never waits."""
        known = self._known.get(tenant.id, NONE)
        return self.library.ready(tenant.preset, tenant.id, known)

    def prompt_hash(
        self, tenant: TenantEntry, body: bytes, hashed: Hash = sha256_hmac
    ) -> str:
        """What the audit keeps of a body: an HMAC under the tenant's own key, so that
        nobody can guess short prompts. `hashed` may know the hash of how it begins.
        """
        return "hmac-sha256:" + hashed(self._prompt_key(tenant), body).hex()

    def kept_prompt(self, tenant: TenantEntry, exchange: Exchange) -> str:
        """What the audit keeps of a call, sealed under the tenant's key; empty where it keeps nothing."""
        if not self.snapshot.keep_prompts or not exchange.parts:
            return ""
        return seal(self._prompt_key(tenant), kept(exchange))

    def placeholder_key(self, tenant: TenantEntry) -> bytes:
        """The key that makes a tenant's placeholders its own."""
        key = self._placeholder_keys.get(tenant.id)
        if key is None:
            key = placeholder_key(self._prompt_key(tenant))
            self._placeholder_keys[tenant.id] = key
        return key

    def _prompt_key(self, tenant: TenantEntry) -> bytes:
        if tenant.id not in self._prompt_keys:
            self._prompt_keys[tenant.id] = unwrap(self._data_key, tenant.prompt_key)
        return self._prompt_keys[tenant.id]
