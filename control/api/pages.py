"""Small pages for people who sign in."""

from aiohttp import web

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",  # with none at all, a form's Origin would be `null`
    "Cache-Control": "no-store",
}
STYLE = (
    "body{font:16px/1.5 system-ui;max-width:34rem;margin:4rem auto;padding:0 1rem}button,input{font:inherit;padding:.3rem .8rem}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}}"
)
SIGN_IN = "<p><a href=/sign-in>Sign in</a></p>"


def page(title: str, told: str, status: int = 200, below: str = "") -> web.Response:
    """A page. `told`, a sentence, and what is `below` it are HTML."""
    text = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title} · Earthflow</title><style>{STYLE}</style>"
        f"<h1>{title}</h1><p>{told}</p>{below}"
    )
    return web.Response(
        text=text, status=status, content_type="text/html", headers=HEADERS
    )
