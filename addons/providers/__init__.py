"""The AI providers whose TLS is opened, from contract/providers.yaml and the operator's
own list.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from addons.providers import anthropic, bedrock, gemini, mcp, openai, others
from addons.providers.error_formats import FAMILIES
from addons.providers.provider import CredentialPlaces, Format, Paths, Provider
from contract.providers import ANY, BadProviders, Entry, providers

FORMATS: dict[str, Format] = {
    format.name: format
    for module in (openai, anthropic, gemini, bedrock, mcp, others)
    for format in module.FORMATS
}


class Directory:
    """Finds the provider of a host. The first provider that claims a host has it."""

    def __init__(self, more: Path | None = None):
        """Raises BadProviders."""
        self._exact: dict[str, Provider] = {}
        patterns: list[tuple[re.Pattern[str], Provider]] = []
        for entry in providers(more):
            provider = _provider(entry)
            for host in entry.hosts:
                if "*" in host:
                    patterns.append(
                        (
                            re.compile(re.escape(host).replace(r"\*", "[a-z0-9.-]+")),
                            provider,
                        )
                    )
                else:
                    self._exact.setdefault(host, provider)
        self._patterns = tuple(patterns)
        self.of = lru_cache(maxsize=4096)(self._of)

    def has(self, host: str) -> bool:
        """Whether a host is an AI provider's."""
        return self.of(host) is not None

    def _of(self, host: str) -> Provider | None:
        """The provider behind a host name, or None for a host that is no AI provider's."""
        name = host.lower().rstrip(".")
        if name in self._exact:
            return self._exact[name]
        return next(
            (
                provider
                for pattern, provider in self._patterns
                if pattern.fullmatch(name)
            ),
            None,
        )


def _provider(entry: Entry) -> Provider:
    if entry.refusal not in FAMILIES:
        raise BadProviders(
            f"provider `{entry.name}`: there is no refusal `{entry.refusal}`; there are {', '.join(FAMILIES)}"
        )
    return Provider(
        entry.name,
        FAMILIES[entry.refusal],
        _paths(entry, entry.paths),
        _paths(entry, entry.sockets),
        CredentialPlaces(
            **{where: frozenset(names) for where, names in entry.credentials},
            tokens=entry.tokens,
        ),
        _any_of(entry.unread),
    )


def _paths(entry: Entry, written: Iterable[tuple[str, str]]) -> Paths:
    exact: dict[str, Format] = {}
    patterns: list[tuple[re.Pattern[str], str, Format]] = []
    for path, name in written:
        if name not in FORMATS:
            raise BadProviders(
                f"provider `{entry.name}`: there is no format `{name}`; there are {', '.join(FORMATS)}"
            )
        if "{" in path:
            patterns.append((_pattern(path), path, FORMATS[name]))
        else:
            exact.setdefault(path or "/", FORMATS[name])
    return Paths(exact, tuple(patterns))


def _any_of(paths: Iterable[str]) -> re.Pattern[str] | None:
    written = [".*" if path == ANY else _pattern(path).pattern for path in paths]
    return re.compile("|".join(written)) if written else None


def _pattern(path: str) -> re.Pattern[str]:
    """`/models/{model}:predict` as a pattern.

    A model's name reaches to the last colon of its segment.
    """
    return re.compile(
        re.escape(path)
        .replace(r"\{model\}", r"(?P<model>[^/]+)")
        .replace(r"\{\}", "[^/]+")
    )
