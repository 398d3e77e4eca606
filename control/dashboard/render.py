"""Templates to pages, with the headers that every page has."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

import msgspec
from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from contract.version import VERSION
from control.dashboard import charts
from control.dashboard.languages import LANGUAGES, Language

LONGEST_VALUE = 300  # characters of a value in an entry
ASSETS = {
    "earthflow.css": "text/css",
    "earthflow.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",  # with none at all, a form's Origin would be `null`
    "Cache-Control": "no-store",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
# Characters that a browser does not show, or that turn the direction of what stands beside them: shown as what they are.
HIDDEN = {
    code: f"\N{SYMBOL FOR ESCAPE}{code:04X}"
    for code in (
        *range(0x20), *range(0x7F, 0xA0), 0xAD, 0x61C, 0x180E, *range(0x200B, 0x2010),
        *range(0x2028, 0x202F), *range(0x2060, 0x206A), 0xFEFF, *range(0xE0000, 0xE0080),
    )
    if code not in (0x09, 0x0A)
}  # fmt: skip


def plain(text: object) -> str:
    """A text of somebody else: characters that would not be seen, or that move others, as their numbers."""
    return str(text).translate(HIDDEN)


def moment(value: object) -> datetime | None:
    """A time as the API tells it."""
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return value if isinstance(value, datetime) else None


def ago(value: object) -> str:
    """How long ago, or how long until, in its largest unit: 40 s, 12 min, 3 h, 5 d."""
    at = moment(value)
    if at is None:
        return "–"
    seconds = abs((datetime.now(UTC) - at).total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)}\N{NO-BREAK SPACE}{unit}"
    return f"{int(seconds)}\N{NO-BREAK SPACE}s"


def clock(value: object, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A time, in UTC."""
    at = moment(value)
    return at.astimezone(UTC).strftime(form) if at is not None else "–"


def within_hour(value: object) -> str:
    """How long ago, of a time that is known by its hour alone."""
    at = moment(value)
    recent = at is not None and (datetime.now(UTC) - at).total_seconds() < 3600
    return "< 1\N{NO-BREAK SPACE}h" if recent else ago(value)


def _size(value: float) -> str:
    for unit in ("B", "KB", "MB"):
        if value < 1000:
            return f"{value:.0f}\N{NO-BREAK SPACE}{unit}"
        value /= 1000
    return f"{value:.1f}\N{NO-BREAK SPACE}GB"


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("control.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
        finalize=_shown,
    )
    made.filters |= {
        "ago": ago,
        "clock": clock,
        "size": _size,
        "plain": plain,
        "hour": within_hour,
        "shown": _value,
    }
    made.globals |= {
        "version": VERSION,
        "languages": list(LANGUAGES.values()),
        "asset": asset,
        "bars": charts.bars,
        "line": charts.line,
        "meter": charts.meter,
    }
    return made


def _value(value: object) -> str:
    """A value of an entry: a text as it is, others as JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]} …"


def _shown(value: Any) -> Any:
    """What an expression in a template becomes: a text that is not ours is made harmless to look at, too."""
    if value is None:
        return ""
    return value if isinstance(value, Markup) else plain(value)


def asset(name: str) -> str:
    """The address of an asset; it changes with its content, so that browsers may keep it."""
    return f"/assets/{name}?{hashlib.sha256(content(name)).hexdigest()[:12]}"


@cache
def content(name: str) -> bytes:
    """The content of an asset."""
    return (resources.files("control.dashboard") / "assets" / name).read_bytes()


_TEMPLATES = _environment()


def html(template: str, language: Language, values: Mapping[str, Any]) -> str:
    """A template with its values, in a language."""
    return _TEMPLATES.get_template(template).render(
        **values,
        language=language,
        _=language.say,
        number=language.number,
    )


def page(
    text: str, status: int = 200, provider: str = "", kind: str = "text/html"
) -> web.Response:
    """A page. `provider`: the origin at which people sign out, where a form may lead, too."""
    policy = f"{POLICY} {provider}" if provider else POLICY
    return web.Response(
        text=text,
        status=status,
        content_type=kind,
        headers={**HEADERS, "Content-Security-Policy": policy},
    )


async def send_asset(request: web.Request) -> web.Response:
    """An asset, for anybody."""
    name = request.match_info["name"]
    if name not in ASSETS:
        raise web.HTTPNotFound
    headers = HEADERS | {"Cache-Control": "public, max-age=31536000, immutable"}
    return web.Response(
        body=content(name),
        content_type=ASSETS[name],
        charset="utf-8",
        headers=headers,
    )
