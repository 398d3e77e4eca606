"""Small pages for people who sign in."""

from aiohttp import web
from markupsafe import Markup

from control.dashboard import render
from control.dashboard.languages import LANGUAGES

HEADERS = render.HEADERS
SIGN_IN = "<p><a href=/sign-in>Sign in</a></p>"


def page(title: str, told: str, status: int = 200, below: str = "") -> web.Response:
    """A page. `told`, a sentence, and what is `below` it are HTML."""
    values = {
        "title": title,
        "message": "",
        "hint": "",
        "below": Markup("<p>{}</p>{}").format(Markup(told), Markup(below)),  # noqa: S704
    }
    return render.page(render.html("plain.html", LANGUAGES["en"], values), status)
