"""The languages of the dashboard: English as the templates have it, and catalogues of what it is in others (words/*.json).

What the API itself says (its refusals, explanations, names) stays English.
"""

from collections.abc import Callable, Mapping
from importlib import resources
from typing import NamedTuple

import msgspec
from aiohttp import web

COOKIE = "earthflow-language"
# Texts that pages give to templates: names of places, lights, filters and states, and titles.
GIVEN = (
    "Now", "Decisions", "Rules", "Tenants and keys", "Audit", "Delivery", "System", "Clients",
    "PostgreSQL", "Redis", "Ingest", "Proxies", "Spool", "CA", "keys",
    "status", "reason", "rule", "provider", "host", "model", "outcome", "tenant", "action", "actor", "object", "request", "from", "to",
    "live", "ending", "ended", "all", "working", "failing", "disabled", "delivered", "waiting", "dead", "environment", "default",
    "sealed", "offline", "in use", "being replaced", "retired",
    "This is not yours to see", "There is nothing here", "This did not work", "Webhooks", "text",
    "The form is gone", "Say why you open it: it is written down.",
)  # fmt: skip


class Language(NamedTuple):
    """A language: its code, its own name, how it is written, and its words by the English ones."""

    code: str
    name: str
    direction: str
    words: Mapping[str, str]
    thousands: str

    @property
    def say(self) -> Callable[[str], str]:
        """What an English text is in this language."""
        return lambda text: self.words.get(text, text)

    def number(self, value: float) -> str:
        """A number with its thousands apart."""
        text = f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
        return text.removesuffix(".0").replace(",", self.thousands)


def _language(code: str, name: str, direction: str, thousands: str) -> Language:
    file = resources.files("control.dashboard") / "words" / f"{code}.json"
    words = {} if code == "en" else msgspec.json.decode(file.read_bytes())
    return Language(code, name, direction, words, thousands)


LANGUAGES = {
    one.code: one
    for one in (
        _language("en", "English", "ltr", ","),
        _language("fr", "Français", "ltr", "\u202f"),
        _language("ar", "العربية", "rtl", ","),
    )
}


def language_of(request: web.Request) -> Language:
    """The language that somebody chose, or else the first that the browser prefers and we have."""
    preferred = request.headers.get("Accept-Language", "")[:200].lower().split(",")
    wanted = [request.cookies.get(COOKIE, ""), *(one.strip()[:2] for one in preferred)]
    codes = [code for code in wanted if code in LANGUAGES]
    return LANGUAGES[codes[0] if codes else "en"]
