"""Somebody at a real browser, who notices what should not be: errors on its console, and requests to other places."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page

from tests.support.house import House

DESK = {"width": 1360, "height": 900}
# What a browser says of a form that is refused.
REFUSED = re.compile(r"^Failed to load resource: .* status of (400|401|409) ")
PHONE = {"width": 390, "height": 844}


class Noticed:
    """What a browser did that no page may make it do. `elsewhere`: origins that are meant, such as a provider's."""

    def __init__(self, page: Page, home: str, elsewhere: tuple[str, ...] = ()):
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._went(request.url, (home, *elsewhere)))

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning") and not REFUSED.search(message.text):
            self.errors.append(message.text)

    def _went(self, url: str, meant: tuple[str, ...]) -> None:
        if not url.startswith((*meant, "data:")):
            self.foreign.append(url)


@contextmanager
def looking(
    chromium: Browser, house: House, elsewhere: tuple[str, ...] = (), **context: Any
) -> Iterator[tuple[Page, Noticed]]:
    """A page of a browser without cookies. At its end nothing was noticed that should not be."""
    told = {"viewport": DESK, "base_url": house.stack.control.url, **context}
    opened = chromium.new_context(**told)
    page = opened.new_page()
    page.set_default_timeout(30_000)
    noticed = Noticed(page, house.stack.control.url, elsewhere)
    yield page, noticed
    opened.close()
    assert (noticed.errors, noticed.foreign) == ([], [])


def sign_in(page: Page, house: House, key: str = "") -> None:
    """Sign in by a key; by the admin's where none is given."""
    page.goto("/sign-in")
    page.fill("input[name=key]", key or house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"])
    page.click("form[action='/sign-in'] button")
    page.wait_for_selector(".menu")
