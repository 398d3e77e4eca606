"""Layers: rules that admins keep in control's database, beside the operator's files.

There is one for all tenants; and for each tenant the operator's, the exceptions that were made from decisions (exception.py), and
the tenant's own, which may only tighten. Each is a rule
source like a file; where it stands in the order is in rules/sources.py.
"""

from collections.abc import Mapping
from typing import Literal

Kind = Literal["all", "tenant", "exceptions", "own"]

TENANTS = "tenants/"
ALL = "layers/all.yaml"


def source_of(kind: Kind, tenant: str = "") -> str:
    """The name of a layer's source."""
    return ALL if kind == "all" else f"{TENANTS}{tenant}/{_FILES[kind]}"


def file_of(tenant: str) -> str:
    """The name of the file that the operator has for a tenant."""
    return f"{TENANTS}{tenant}.yaml"


def sources_of(tenant: str) -> tuple[str, ...]:
    """All that is a tenant's, in the order of precedence; its own layer is the last."""
    return (file_of(tenant), *(source_of(kind, tenant) for kind in _FILES))


def tenant_of(source: str) -> str:
    """Whose source this is; empty where it is everybody's."""
    if not source.startswith(TENANTS):
        return ""
    return source.removeprefix(TENANTS).partition("/")[0].removesuffix(".yaml")


def kind_of(source: str) -> Kind:
    """Which layer of the three a source is."""
    kinds = {file: kind for kind, file in _FILES.items()}
    return kinds.get(source.rpartition("/")[2], "all")


def is_layer(source: str) -> bool:
    """Whether a source is a layer, and no file."""
    return source == ALL or (source.startswith(TENANTS) and source.count("/") > 1)


_FILES: Mapping[Kind, str] = {
    "tenant": "layer.yaml",
    "exceptions": "exceptions.yaml",
    "own": "own.yaml",
}
