"""A real OpenID Connect provider on loopback (canaille, in a Python of its own), and a browser that signs in there."""

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp

from cli.processes import end_with_parent
from tests.support.ports import free_ports

PYTHON = Path(".venv-provider/bin/python").absolute()
SERVER = Path(__file__).with_name("canaille_server.py")
CLIENT, SECRET = "earthflow", "a-secret-of/the client+%"
PASSWORD = "correct horse battery staple"
MOST_STEPS = 12  # redirects and forms of one way


class IdentityProvider:
    """A provider with ada and grace, who are in no group yet. `back` is where it sends people."""

    def __init__(self, back: str):
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self._back = back
        self.start()

    def start(self) -> None:
        """Start it, with nobody signed in."""
        self._process = subprocess.Popen(
            [PYTHON, SERVER, str(self.port), CLIENT, SECRET, self._back],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=end_with_parent(signal.SIGKILL),
        )
        self._heard()

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def order(self, name: str, *arguments: Any) -> None:
        """Let it do something; what there is stands in canaille_server.py."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps([name, *arguments]) + "\n")
        self._process.stdin.flush()
        self._heard()

    def token(self, signed: str = "right", header: dict[str, Any] | None = None, **claims: Any) -> None:  # fmt: skip
        """Let its next tokens say something else, or be signed in another way."""
        self.order("token", claims, header or {}, signed)

    def _heard(self) -> None:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the provider ended"


class Browser:
    """Follows redirects, keeps cookies, and fills the provider's forms."""

    def __init__(self, session: aiohttp.ClientSession):
        self.session = session

    async def get(self, url: str, person: str = "") -> tuple[int, str, str]:
        """Go to a URL, and sign in as this person where it leads to a form of the provider: status, address and text at the end."""
        method, data = "GET", None
        for _ in range(MOST_STEPS):
            async with self.session.request(method, url, data=data, allow_redirects=False, headers=origin(url, method)) as answer:  # fmt: skip
                text = await answer.text()
                if answer.status in (301, 302, 303, 307, 308):
                    url, method, data = urljoin(url, answer.headers["Location"]), "GET", None  # fmt: skip
                    continue
                form = _Form()
                form.feed(text)
                if not person or not {"login", "password"} & form.inputs.keys():
                    return answer.status, url, text
                given = {"login": person, "password": PASSWORD}
                data = {name: given.get(name, value) for name, value in form.inputs.items()}  # fmt: skip
                url, method = urljoin(url, form.action), "POST"
        raise AssertionError("no end of redirects")

    async def post(self, url: str, data: dict[str, str], person: str = "", **headers: str) -> tuple[int, str, str]:  # fmt: skip
        """Send a form of a page at that address, and follow."""
        async with self.session.post(url, data=data, allow_redirects=False, headers={**origin(url, "POST"), **headers}) as answer:  # fmt: skip
            text = await answer.text()
            if answer.status != 303:
                return answer.status, url, text
            return await self.get(urljoin(url, answer.headers["Location"]), person)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser without cookies."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:  # fmt: skip
        yield Browser(session)
    await asyncio.sleep(0)


def origin(url: str, method: str) -> dict[str, str]:
    """What browsers say of the page that sends a form."""
    return {"Origin": "/".join(url.split("/")[:3])} if method == "POST" else {}


def fields_of(text: str) -> dict[str, str]:
    """The fields of a page's form."""
    form = _Form()
    form.feed(text)
    return form.inputs


class _Form(HTMLParser):
    """The last form of a page: where it goes, and its fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action, self.inputs = "", dict[str, str]()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:  # fmt: skip
        told = dict(attributes)
        if tag == "form":
            self.action = told.get("action") or ""
        elif tag == "input" and told.get("name"):
            self.inputs[str(told["name"])] = told.get("value") or ""
