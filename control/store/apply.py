"""Brings tenants to what a file says of them, all of a request in one transaction; what the file does not name stays."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from control.store import tenants, webhooks
from control.store.admin_audit import changed, changing, without_secrets
from control.store.database import Connection, Pool
from control.store.keys import Minted
from control.store.tenants import Tenant, TenantExists, Wanted, bump, named

DEFAULTS = {"preset": "default"}  # of a new tenant

Action = Literal["create", "change", "same"]


class Hook(NamedTuple):
    """A webhook that is wanted."""

    url: str
    statuses: Sequence[str]


class Line(NamedTuple):
    """What is wanted of a tenant: columns; names or ids of keys, and webhooks, where they are named."""

    id: str
    values: Mapping[str, Any]
    keys: Sequence[str] | None
    hooks: Sequence[Hook] | None
    all_hooks: bool = True  # else some of them, as an export has the first one


@dataclass
class Applied:
    """What became of a tenant, or would: of what was changed, before and after; the ids of new keys and webhooks."""

    id: str
    action: Action
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    hooks: list[str] = field(default_factory=list)


class NeedsName(Exception):
    """A tenant, whose id is the text, is not there, and the file has no name for it."""


class KeyEnded(Exception):
    """A key, whose id is the text, has ended, or is another tenant's."""


class MadeMeanwhile(Exception):
    """Somebody else made a tenant since we looked."""


class Maker(Protocol):
    """Makes secrets, and remembers them for whoever asked."""

    def prompt_key(self) -> str:
        """The key of a tenant's prompts, wrapped."""

    def key(self, name: str) -> Minted:
        """A new key of a tenant."""

    def hook(self, hook: Hook) -> Mapping[str, Any]:
        """The columns of a new webhook."""


async def hooks_of(pool: Pool, tenants: Sequence[str]) -> set[tuple[str, str]]:
    """The URLs of these tenants' webhooks, each with its tenant."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT tenant, url FROM webhook WHERE tenant = ANY (%s)", (list(tenants),)
        )
        return {(row["tenant"], row["url"]) for row in await rows.fetchall()}


async def apply(
    pool: Pool, lines: Sequence[Line], make: Maker, *, prune: bool, dry_run: bool
) -> list[Applied]:
    """Create and change tenants; `prune` removes webhooks that a line with webhooks does not name.

    All or nothing; with `dry_run` nothing. Raises TenantExists for an ended tenant, or NeedsName.
    """
    if not dry_run:
        async with changing(pool) as connection:
            return await _Applying(connection, make, prune=prune).all(lines)
    async with (
        pool.connection() as connection,
        connection.transaction(force_rollback=True),
    ):
        return await _Applying(connection, make, prune=prune).all(lines)


class _Applying:
    def __init__(self, connection: Connection, make: Maker, *, prune: bool):
        self._connection, self._make, self._prune = connection, make, prune

    async def all(self, lines: Sequence[Line]) -> list[Applied]:
        connection, ids = self._connection, [line.id for line in lines]
        await connection.execute(  # two admins do this one after the other
            "SELECT id FROM tenant WHERE id = ANY (%s) ORDER BY id FOR UPDATE", (ids,)
        )
        there = {
            one.id: one
            for one in await tenants.read(connection, Wanted(ended=True), ids=ids)
        }
        if ended := next((one.id for one in there.values() if one.deleted), None):
            raise TenantExists(ended)
        self._keys = await self._by_tenant(
            "SELECT tenant, id, name FROM api_key WHERE tenant = ANY (%s) AND (not_after IS NULL OR not_after > now())",
            ids,
        )
        self._hooks = await self._by_tenant("SELECT tenant, id, url, statuses FROM webhook WHERE tenant = ANY (%s)", ids)  # fmt: skip
        done = [await self._tenant(line, there.get(line.id)) for line in lines]
        if any(one.action != "same" for one in done):
            await bump(connection)
        return done

    async def _by_tenant(
        self, query: str, ids: Sequence[str]
    ) -> Mapping[str, list[dict[str, Any]]]:
        rows = await self._connection.execute(query.encode(), (ids,))
        found: dict[str, list[dict[str, Any]]] = {id: [] for id in ids}
        for row in await rows.fetchall():
            found[row["tenant"]].append(row)
        return found

    async def _tenant(self, line: Line, old: Tenant | None) -> Applied:
        done = Applied(line.id, "same")
        names = line.keys
        if old is None:
            if "name" not in line.values:
                raise NeedsName(line.id)
            values = {"id": line.id, "prompt_key": self._make.prompt_key()}
            columns = {**DEFAULTS, **line.values, **values}
            try:
                await tenants.insert(self._connection, columns)
            except TenantExists:
                raise MadeMeanwhile(line.id) from None
            done.after |= named(line.values)
            done.action, names = "create", names or [""]
        else:
            told = old._asdict()
            new = {name: value for name, value in line.values.items() if told[name] != value}  # fmt: skip
            if new:
                await tenants.update(self._connection, line.id, new)
                done.before |= named({name: told[name] for name in new})
                done.after |= named(new)
        await self._add_keys(line.id, names or (), done)
        if line.hooks is not None:
            await self._set_hooks(line, line.hooks, done)
        if done.action == "same" and (done.before or done.after):
            done.action = "change"
        if done.action != "same":
            changed(line.id, line.id, done.before, done.after)
        return done

    async def _add_keys(self, tenant: str, names: Iterable[str], done: Applied) -> None:
        known = {
            word for one in self._keys[tenant] for word in (one["id"], one["name"])
        }
        new = [name for name in dict.fromkeys(names) if name not in known]
        if not new:
            return
        rows = await self._connection.execute(
            "SELECT id FROM api_key WHERE id = ANY (%s) LIMIT 1", (new,)
        )
        if ended := await rows.fetchone():
            raise KeyEnded(ended["id"])
        for name in new:
            minted = self._make.key(name)
            await self._connection.execute(
                "INSERT INTO api_key (id, tenant, digest, name) VALUES (%s, %s, %s, %s)",
                (minted.id, tenant, minted.digest, name),
            )
            done.keys.append(minted.id)
            changed(minted.id, tenant, {}, {"role": "tenant", "name": name})
        done.after["keys"] = [name for name in new if name] or ["a first one"]

    async def _set_hooks(
        self, line: Line, wanted: Sequence[Hook], done: Applied
    ) -> None:
        rows = self._hooks[line.id]
        there = {one["url"]: one for one in reversed(rows)}
        before, after = [], []
        for hook in wanted:
            old = there.get(hook.url)
            if old is None:
                made = self._make.hook(hook)
                await webhooks.insert(self._connection, line.id, made)
                done.hooks.append(made["id"])
                changed(made["id"], line.id, {}, _told(hook))
            elif line.all_hooks and set(old["statuses"]) != set(hook.statuses):
                await self._connection.execute(
                    "UPDATE webhook SET statuses = %s WHERE id = %s",
                    (list(dict.fromkeys(hook.statuses)), old["id"]),
                )
                before.append(_told(Hook(old["url"], old["statuses"])))
            else:
                continue
            after.append(_told(hook))
        urls = {hook.url for hook in wanted}
        for url, old in [(one["url"], one) for one in rows]:
            if self._prune and line.all_hooks and url not in urls:
                await self._connection.execute(
                    "DELETE FROM webhook WHERE id = %s", (old["id"],)
                )
                before.append(_told(Hook(url, old["statuses"])))
        if before or after:
            done.before |= {"webhooks": before} if before else {}
            done.after |= {"webhooks": after}


def _told(hook: Hook) -> dict[str, object]:
    return {"url": without_secrets(hook.url), "statuses": list(hook.statuses)}
