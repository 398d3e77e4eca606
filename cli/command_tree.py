"""The commands by name, each imported when it is called: a command costs what it uses, and no more."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command_from_info, get_group_from_info
from typer.models import CommandInfo, TyperInfo

# name -> module and function, or module and Typer of a group; in the order of the help
PLACES = {
    "up": "cli.up:up",
    "run": "cli.run:run",
    "env": "cli.env:env",
    "doctor": "cli.doctor:doctor",
    "health": "cli.health:health",
    "status": "cli.status:status",
    "demo": "cli.demo:demo",
    "proxy": "cli.programs:proxy",
    "control": "cli.programs:control",
    "providers": "cli.providers:providers",
    "backup": "cli.backup:backup",
    "restore": "cli.backup:restore",
    "ca": "cli.ca:app",
    "rules": "cli.rules:app",
    "audit": "cli.audit:app",
    "tenants": "cli.tenants:app",
    "keys": "cli.keys:app",
    "apply": "cli.apply:apply",
    "secrets": "cli.known_secrets:app",
    "webhooks": "cli.webhooks:app",
    "context": "cli.context:app",
    "login": "cli.login:login",
    "logout": "cli.login:logout",
    "config": "cli.config:app",
}
# What stands behind these is another program's command line.
PASS_ON = {"allow_extra_args": True, "allow_interspersed_args": False}
PASSING_ON = {"run", "doctor"}


class Commands(TyperGroup):
    """The group of all commands."""

    def __init__(self, **more: Any):
        super().__init__(**more)
        self.commands = _OnDemand()  # type: ignore[assignment]  # nothing is added to it


class _OnDemand(Mapping[str, TyperCommand | TyperGroup]):
    def __getitem__(self, name: str) -> TyperCommand | TyperGroup:
        return _load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(PLACES)

    def __len__(self) -> int:
        return len(PLACES)


@cache
def _load(name: str) -> TyperCommand | TyperGroup:
    """Raises KeyError."""
    module, _, attribute = PLACES[name].partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        return get_group_from_info(
            TyperInfo(found, name=name),
            pretty_exceptions_short=False,
            rich_markup_mode=None,
            suggest_commands=True,
        )
    info = CommandInfo(
        name=name,
        callback=found,
        context_settings=PASS_ON if name in PASSING_ON else None,
    )
    command = get_command_from_info(
        info, pretty_exceptions_short=False, rich_markup_mode=None
    )
    assert isinstance(command, TyperCommand)
    return command
