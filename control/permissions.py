"""Who may do what, as data: each operation of the API needs a permission, and each role has some of them.

The API, its description, the documents and the tests read these tables; nothing else decides.
"""

from collections.abc import Mapping
from typing import NamedTuple

from contract.keys import Role

ROLES: Mapping[Role, str] = {
    "admin": "all",
    "operator": "tenants with their keys, webhooks and known secrets; rules; the audit with kept prompts, since it can make a tenant's key",
    "auditor": "reads all, without kept prompts, and changes nothing but its own saved searches",
    "auditor+prompts": "as an auditor, and opens kept prompts",
    "tenant": "calls AI providers; reads what is its own",
    "metrics": "reads metrics",
}


class Permission(NamedTuple):
    """What it allows. One of the `whole` concerns all tenants together, so that no key which is bound to some has it."""

    what: str
    roles: frozenset[Role]
    whole: bool = False


def _of(what: str, *roles: Role, whole: bool = False) -> Permission:
    return Permission(what, frozenset(("admin", *roles)), whole)


_STAFF: tuple[Role, ...] = ("operator", "auditor", "auditor+prompts")
_AUDITORS: tuple[Role, ...] = ("auditor", "auditor+prompts")

PERMISSIONS: Mapping[str, Permission] = {
    "tenants.read": _of("see tenants", *_STAFF, "tenant"),
    "tenants.write": _of("change the names, labels and webhooks of tenants, and end them", "operator"),
    "tenants.limits": _of("change a tenant's preset, unknown hosts, limits and retention", "operator", whole=True),
    "tenants.create": _of("make tenants", "operator", whole=True),
    "keys.read": _of("see tenants' keys, never their secrets", *_STAFF, "tenant"),
    "keys.write": _of("make, rotate and revoke tenants' keys", "operator"),
    "staff.read": _of("see the keys of all other roles", *_AUDITORS, whole=True),
    "staff.write": _of("make and revoke keys of all other roles", whole=True),
    "secrets.read": _of("see the names of known secrets", *_STAFF, "tenant"),
    "secrets.write": _of("add and forget known secrets", "operator"),
    "webhooks.read": _of("see webhooks and their deliveries", *_STAFF, "tenant"),
    "webhooks.write": _of("make, change, test and remove webhooks", "operator"),
    "rules.read": _of("read rule files that are not shipped, and layers", *_STAFF),
    "rules.write": _of("change the layers of rules, for all or for one tenant", "operator", whole=True),
    "rules.tighten": _of("change a tenant's own layer of rules, which only tightens", "operator"),
    "rules.replay": _of("see what recorded exchanges would become under other rules", "operator", "auditor+prompts"),
    "audit.read": _of("search and count exchanges", *_STAFF, "tenant"),
    "audit.prompts": _of("open kept prompts", "operator", "auditor+prompts", "tenant"),
    "views.write": _of("keep searches of the audit under a name", *_STAFF),
    "audit.mark": _of("say whether rules were right to fire", "operator"),
    "audit.import": _of("take in archived exchanges", whole=True),
    "audit.admin": _of("see who changed what", *_STAFF, "tenant"),
    "quarantine.read": _of("see quarantined records", *_STAFF, whole=True),
    "quarantine.write": _of("try quarantined records again", "operator", whole=True),
    "master.read": _of("see how the master key's rotation stands", *_AUDITORS, whole=True),
    "master.write": _of("rotate the master key", whole=True),
    "ca.read": _of("see the interception CA", *_STAFF, whole=True),
    "ca.write": _of("make and renew the interception CA", whole=True),
    "fleet.read": _of("see proxies, and how many keys end soon", *_STAFF, whole=True),
    "settings.read": _of("see the settings in force, secrets as stars", *_STAFF, whole=True),
    "metrics.read": _of("read metrics", *_STAFF, "metrics", whole=True),
}  # fmt: skip


class Caller(NamedTuple):
    """Who calls, by the id of a key. `tenants`: those it is bound to; None: all."""

    role: Role
    tenants: frozenset[str] | None = None
    key: str = "environment"

    def sees(self, tenant: str) -> bool:
        """Whether a tenant is one of its own."""
        return self.tenants is None or tenant in self.tenants

    def may(self, permission: str) -> bool:
        """Whether it has a permission, for the tenants that it sees."""
        needed = PERMISSIONS[permission]
        bound = self.tenants is not None and needed.whole
        return self.role in needed.roles and not bound


def roles_of(permission: str) -> list[Role]:
    """The roles that have it, in the order of the documents."""
    return [role for role in ROLES if role in PERMISSIONS[permission].roles]
