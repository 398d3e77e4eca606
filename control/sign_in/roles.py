"""EARTHFLOW_OIDC_ROLES: which groups of the provider have which role, such as `security=auditor;acme-team=operator:acme`."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast, get_args

from contract.keys import BINDABLE, StaffRole

EXAMPLE = "platform=admin;security=auditor;acme-team=operator:acme"
TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
# Metrics are read by programs, which do not sign in.
ROLES = tuple(role for role in get_args(StaffRole) if role != "metrics")


class Grant(NamedTuple):
    """What one group gives: a role, for one tenant or for all."""

    group: str
    role: StaffRole
    tenant: str | None

    def __str__(self) -> str:
        """The grant as it is written."""
        return f"{self.group}={self.role}" + (f":{self.tenant}" if self.tenant else "")


class Granted(NamedTuple):
    """What a person gets. `tenants`: those that the role is bound to; None: all."""

    role: StaffRole
    tenants: Sequence[str] | None


def grants_of(written: str) -> tuple[Grant, ...]:
    """The grants, in their order. A group's name may hold `=`, as a distinguished name does, and no `;`.

    Raises ValueError: a sentence.
    """
    grants = tuple(_grant(one.strip()) for one in written.split(";") if one.strip())
    if not grants:
        raise ValueError(f"must have at least one group, such as {EXAMPLE}")
    of: dict[str, Grant] = {}
    for grant in grants:
        before = of.setdefault(grant.group, grant)
        if before.role != grant.role:
            raise ValueError(
                f"gives the group {grant.group} two roles, {before.role} and {grant.role}; name one"
            )
    return grants


def _grant(written: str) -> Grant:
    group, _, given = written.rpartition("=")
    role, bound, tenant = given.strip().partition(":")
    if not group.strip() or role not in ROLES:
        raise ValueError(
            f"must have parts like group=role or group=role:tenant with ; between, and one of the roles {', '.join(ROLES)}: {EXAMPLE}"
        )
    if bound and (role not in BINDABLE or not TENANT.fullmatch(tenant)):
        raise ValueError(
            f"can bind the roles {', '.join(BINDABLE)} to the id of a tenant, as in acme-team=operator:acme"
        )
    return Grant(group.strip(), cast(StaffRole, role), tenant if bound else None)


def granted(grants: Sequence[Grant], groups: Iterable[str]) -> Granted | None:
    """What somebody in these groups gets; None: nothing, and so no entry.

    Of several roles the one that is written first counts, for all tenants that groups give it for.
    """
    there = frozenset(groups)
    mine = [grant for grant in grants if grant.group in there]
    if not mine:
        return None
    role = mine[0].role
    tenants = {grant.tenant for grant in mine if grant.role == role}
    bound = sorted(one for one in tenants if one is not None)
    return Granted(role, None if None in tenants else bound)
