"""System: proxies and versions, what waits where, the CA, and the settings in force."""

from aiohttp import web

from control.dashboard.now import signs
from control.dashboard.visit import Visit


async def show(visit: Visit) -> web.Response:
    """The page."""
    strip, proxies, settings, roots, master = await visit.both(
        signs(visit),
        visit.ask("fleet.read", "/v1/proxies"),
        visit.ask("settings.read", "/v1/settings"),
        visit.ask("ca.read", "/v1/ca"),
        visit.ask("master.read", "/v1/master"),
    )
    return visit.page(
        "system.html",
        signs=strip,
        proxies=proxies["proxies"] if proxies else [],
        settings=settings["settings"] if settings else [],
        roots=roots["roots"] if roots else [],
        master=master,
    )
