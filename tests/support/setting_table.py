"""`python -m tests.support.setting_table` writes docs/settings.md: each setting, its default, its edges, and who reads it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from addons.settings import ProxySettings
from cli.settings import UpSettings
from contract import redis_place, setting_types
from contract.settings import Settings
from control.settings import ControlSettings
from tests.support.module_map import ROOT

PROGRAMS: dict[str, type[Settings]] = {
    "proxy": ProxySettings,
    "control": ControlSettings,
    "up": UpSettings,
}
# By the function that checks it: what a value is.
CHECKED = {
    setting_types.host_of: "a host name or an address",
    setting_types.host_or_all: "a host name or an address; empty: all",
    setting_types.database_host: "a host name, an address, several with commas, or a socket's folder",
    setting_types.proxy_url: "a URL like https://host:8443",
    setting_types.server_url: "a URL like https://host:8443",
    setting_types.control_url: "a URL like http://host:8080",
    redis_place.redis_url: "a URL like redis://:password@host:6379/0, redis+sentinel://:password@host:26379,host:26379/primary, redis+cluster://:password@host:6379,host:6379",
    setting_types.fernet_key: "a Fernet key",
    setting_types.api_key: "32 to 1,000 visible ASCII characters",
}
NAMED = {
    "EARTHFLOW_INTERNAL_HOSTS": "host names, with commas between",
    "WEBHOOK_INTERNAL_HOSTS": "host names, with commas between",
    "EARTHFLOW_ALLOWED_CLIENTS": "addresses and networks, with commas between",
    "EARTHFLOW_TRUSTED_PROXIES": "addresses and networks, with commas between",
    "EARTHFLOW_UPSTREAM_MAP": "host=address:port, with commas between",
    "EARTHFLOW_DATABASE_URL": "a URL like postgresql://user:password@host:5432/name",
    "EARTHFLOW_DATABASE_DIRECT_URL": "a URL like postgresql://user:password@host:5432/name",
    "EARTHFLOW_DATABASE_READ_URL": "a URL like postgresql://user:password@host:5432/name",
}
INTRODUCTION = """# Settings

Every setting is an environment variable. Where one is empty, it is unset. A program that finds a value beyond these edges says so, with
the name of the variable, and ends with status 78; a variable that looks like a setting and is none is a line in its log. What is in
force, and where it is from, without a start:

```sh
earthflow config check --env-file .env
```

This table is made from the programs by `python -m tests.support.setting_table`; what each setting does is in `.env.example`.

"""


class Edges(NamedTuple):
    """The smallest and the largest number that a setting may be."""

    smallest: float
    largest: float


def fields() -> Iterator[tuple[str, str, FieldInfo]]:
    """Program, variable and field of every setting."""
    for program, settings in PROGRAMS.items():
        for field in settings.model_fields.values():
            yield program, str(field.validation_alias), field


def edges_of(field: FieldInfo) -> Edges | None:
    """The edges of a number; None for what is none."""
    low: Any = None
    high: Any = None
    for one in field.metadata:
        low = one.ge if isinstance(one, annotated_types.Ge) else low
        high = one.le if isinstance(one, annotated_types.Le) else high
    return Edges(low, high) if None not in (low, high) else None


def words_of(field: FieldInfo) -> list[str]:
    """The words that a setting may be; none where it is free."""
    return [str(word) for hint in (field.annotation, *get_args(field.annotation)) if get_origin(hint) is Literal for word in get_args(hint)]  # fmt: skip


def _may_be(name: str, field: FieldInfo) -> str:
    if name in NAMED:
        return NAMED[name]
    if (edges := edges_of(field)) is not None:
        return f"{edges.smallest:,} to {edges.largest:,}"
    if words := words_of(field):
        return ", ".join(words)
    if field.annotation is bool:
        return "true, false"
    for one in field.metadata:
        if (sentence := CHECKED.get(getattr(one, "func", None))) is not None:  # type: ignore[call-overload]
            return str(sentence)
    hints = (field.annotation, *get_args(field.annotation))
    return "a path" if Path in hints else "text"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "by user"
    value: Any = field.default
    if value in (None, {}, frozenset(), ""):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def table() -> str:
    """The document."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for program, name, field in fields():
        rows.setdefault((name, _default(field), _may_be(name, field)), []).append(program)  # fmt: skip
    order = re.findall(
        r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE
    )
    lines = ["| setting | default | may be | read by |", "|---|---|---|---|"]
    for (name, default, may_be), programs in sorted(rows.items(), key=lambda row: order.index(row[0][0])):  # fmt: skip
        lines.append(f"| `{name}` | {default} | {may_be} | {', '.join(programs)} |")
    return INTRODUCTION + "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "settings.md").write_text(table())
