"""Which settings are in force and where each is from; what is wrong with them. Secrets are stars."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from contract.settings import BAD_CONFIGURATION, Settings, explain

STARS = "****"
# Files that a program reads at its start; it makes the other paths itself.
FILES = (
    "EARTHFLOW_RULES_DIR",
    "EARTHFLOW_PROVIDERS",
    "EARTHFLOW_MITM_CONF",
    "EARTHFLOW_UPSTREAM_CA",
    "EARTHFLOW_CA_CERT",
    "EARTHFLOW_PROXY_CA",
    "EARTHFLOW_CLIENT_CERT",
    "EARTHFLOW_CLIENT_KEY",
    "TLS_CERT_PATH",
    "TLS_KEY_PATH",
    "TLS_CA_PATH",
)


def report(read: Callable[[], Settings]) -> dict[str, Any]:
    """`settings`: name, value and source of each; `problems`: sentences, where they cannot be used."""
    try:
        settings = read()
    except ValidationError as error:
        return {"settings": [], "problems": explain(error)}
    return {"settings": told_of(settings), "problems": _missing_files(settings)}


def told_of(settings: Settings) -> list[Mapping[str, str]]:
    """Name, value and source of each setting; secrets as stars."""
    return [_told(settings, name, field) for name, field in _fields(settings)]


def print_report(read: Callable[[], Settings]) -> None:
    """Print a report as JSON, and end with the status of a start with these settings."""
    found = report(read)
    json.dump(found, sys.stdout)
    raise SystemExit(BAD_CONFIGURATION if found["problems"] else 0)


def _fields(settings: Settings) -> list[tuple[str, FieldInfo]]:
    return list(type(settings).model_fields.items())


def _told(settings: Settings, name: str, field: FieldInfo) -> Mapping[str, str]:
    return {
        "name": str(field.validation_alias),
        "value": _shown(getattr(settings, name)),
        "from": "environment" if name in settings.model_fields_set else "default",
    }


def _missing_files(settings: Settings) -> list[str]:
    named = {
        str(field.validation_alias): getattr(settings, name)
        for name, field in _fields(settings)
    }
    return [
        f"{name} names {named[name]}, which is not there."
        for name in FILES
        if isinstance(named.get(name), Path) and not named[name].exists()
    ]


def _shown(value: object) -> str:
    """A value as it would be written in the environment."""
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return STARS
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ";".join(map(str, value))
    if isinstance(value, frozenset):
        return ",".join(sorted(map(str, value)))
    if isinstance(value, dict):
        return ",".join(
            f"{name[0]}={to[0]}:{to[1]}" for name, to in sorted(value.items())
        )
    return str(value)
