"""A whole Earthflow for tests: real engines, control, proxy, pretend providers, on free ports, in a folder of its own."""

import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import SecretStr

from cli.pretend import HOSTS, Providers
from cli.processes import wait_until
from cli.run import client_environment
from cli.settings import environment, settings_of
from cli.stack import LOG_FILE, Stack
from cli.state_folder import claim
from cli.trust import bundle_path
from tests.support import answers, scripted, shared
from tests.support.http2_front import Http2Front
from tests.support.plain_tls import PlainTLS

if TYPE_CHECKING:
    import anthropic
    import openai

# seconds for what an idle machine does in a few: a busy one takes ten times as long
PATIENCE = 120.0
OTHER_HOST, OTHER_CA = "tunnel.example", "other-ca.pem"  # no AI provider
AWS_KEY = "AKIAQYLPMN5HHHFPZAM2"
RESTRICTED = "TLP:RED the plan"  # `confidential.tlp-red` blocks it
EARTHFLOW = Path(sys.executable).with_name("earthflow")


# a test's database outlives kills, no power cut
FORGETFUL = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class House:
    """Use as a context manager. `extra` overrules the services' environment; `programs` replaces a service's command."""

    def __init__(
        self,
        extra: Mapping[str, str] | None = None,
        programs: Mapping[str, Sequence[str]] | None = None,
        *,
        http2: bool = False,
    ):
        """`http2`: the pretend providers speak HTTP/2, as `front` does."""
        self.folder = claim(Path(tempfile.mkdtemp(prefix="ef-test-"))).folder
        self._extra, self._programs = dict(extra or {}), dict(programs or {})
        self._exit, self._http2 = ExitStack(), http2
        self.front: Http2Front | None = None
        self.said: list[str] = []
        # what the services of a house that could not be built wrote to standard error
        self.last_words = ""

    def __enter__(self) -> "House":
        self._exit.callback(shutil.rmtree, self.folder, ignore_errors=True)
        try:
            self.providers = self._exit.enter_context(
                Providers(
                    self.folder, answer=answers.whole, hosts=(*HOSTS, *answers.HOSTS)
                )
            )
            if self._http2:
                pair, port = self.folder / "providers.pem", self.providers.port
                self.front = self._exit.enter_context(Http2Front(pair, port))
                self.providers.port = self.front.port  # where the proxy finds them
            other = self._exit.enter_context(
                PlainTLS(self.folder, OTHER_HOST, OTHER_CA)
            )
            self.scripted = self._exit.enter_context(
                scripted.Scripted(self.folder / "providers.pem")
            )
            settings = settings_of(self.folder).model_copy(
                update={"master_key": SecretStr(shared.MASTER_KEY)}
            )
            told = {
                "EARTHFLOW_CACHE_DIR": str(shared.COMPILED),
                "RATE_LIMIT_DEFAULT_RPM": "1000000",  # tests say much in one name
                "EARTHFLOW_UPSTREAM_MAP": f"{self.providers.upstream_map},{OTHER_HOST}=127.0.0.1:{other.port},{scripted.HOST}=127.0.0.1:{self.scripted.port}",
                "EARTHFLOW_UPSTREAM_CA": str(self.providers.ca_file),
                **self._extra,
            }
            self.stack = Stack(
                settings, self.said.append, told, self._programs, FORGETFUL
            )
            self._exit.enter_context(self.stack)
        except BaseException:
            self.last_words = self.log
            self._exit.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    # -- callers ------------------------------------------------------------------------------------------------------

    def tenant(self, preset: str = "default", **more: Any) -> "Tenant":
        """A new tenant, whose key the proxy knows already when this returns."""
        made = self.stack.control.post(
            "/v1/tenants", {"name": "Test", "rules_preset": preset, **more}
        )
        tenant = Tenant(self, made["id"], made["api_key"])
        assert wait_until(lambda: tenant.connect_status() != 407, PATIENCE)
        return tenant

    @property
    def log(self) -> str:
        """What the services have written to standard error."""
        return (
            (self.folder / LOG_FILE).read_text()
            if (self.folder / LOG_FILE).exists()
            else ""
        )

    @property
    def bundle(self) -> Path:
        """What clients trust."""
        return bundle_path(self.folder)

    def url(self, path: str, port: int | None = None) -> str:
        """A URL on the proxy's own port."""
        return f"http://127.0.0.1:{port or self.stack.port}{path}"

    def ready(self) -> dict[str, Any]:
        """The proxy's readiness."""
        body: dict[str, Any] = json.loads(curl("-s", self.url("/health/ready")).stdout)
        return body


class Tenant:
    """A tenant of a house, and the clients that call in its name."""

    def __init__(self, house: House, id: str, key: str):
        self.house, self.id, self.key = house, id, key

    def proxy(self, scheme: str = "http") -> str:
        """The proxy URL."""
        return f"{scheme}://key:{quote(self.key)}@localhost:{self.house.stack.port}"

    def environment(self, scheme: str = "http") -> dict[str, str]:
        """A client's environment."""
        return client_environment(
            self.house.stack.settings,
            self.key,
            self.house.stack.port,
            "localhost",
            scheme,
        )

    def openai(
        self, monkeypatch: Any, scheme: str = "http", **more: Any
    ) -> "openai.OpenAI":
        """The real SDK, finding the proxy by environment as in life."""
        import openai  # here, since it takes a second

        self._adopt(monkeypatch, scheme)
        return openai.OpenAI(api_key="sk-test", **more)

    def anthropic(
        self, monkeypatch: Any, scheme: str = "http", **more: Any
    ) -> "anthropic.Anthropic":
        """The real SDK, finding the proxy by environment as in life."""
        import anthropic

        self._adopt(monkeypatch, scheme)
        return anthropic.Anthropic(api_key="sk-test", **more)

    def _adopt(self, monkeypatch: Any, scheme: str) -> None:
        for name, value in self.environment(scheme).items():
            monkeypatch.setenv(name, value)

    def curl(
        self, *words: str, scheme: str = "http"
    ) -> subprocess.CompletedProcess[str]:
        """curl through the proxy."""
        trust = str(self.house.bundle)
        return curl(
            "-sS",
            "-x",
            self.proxy(scheme),
            "--proxy-cacert",
            trust,
            "--cacert",
            trust,
            *words,
        )

    def post(
        self,
        body: bytes,
        *words: str,
        url: str = "https://api.openai.com/v1/chat/completions",
    ) -> tuple[int, Any]:
        """POST raw bytes; the status and the JSON that came back."""
        file = self.house.folder / f"body-{self.id}"
        file.write_bytes(body)
        done = self.curl(
            "-w",
            "\n%{http_code}",
            "-H",
            "content-type: application/json",
            "--data-binary",
            f"@{file}",
            *words,
            url,
        )
        text, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(text) if text.startswith("{") else text

    def connect_status(self, target: str = "api.openai.com:443") -> int:
        """What CONNECT is answered."""
        return connect_status(self.house.stack.port, target, self.key)

    def audit(
        self, count: int, complete: bool = True, query: str = ""
    ) -> list[dict[str, Any]]:
        """This tenant's records, newest first, once there are `count`."""
        rows: list[dict[str, Any]] = []

        def there() -> bool:
            rows[:] = self.house.stack.control.get(
                f"/v1/audit?tenant={self.id}&limit=1000{query}"
            )["audit"]
            return len(rows) >= count and (
                not complete or all(row["completion"] for row in rows)
            )

        assert wait_until(there, PATIENCE), rows
        assert len(rows) == count, rows
        return rows


def command_environment(house: House, **more: str) -> dict[str, str]:
    """What the command is told, to speak with a house."""
    told = {
        "EARTHFLOW_STATE_DIR": str(house.folder),
        "EARTHFLOW_PORT": str(house.stack.port),
        "EARTHFLOW_DASHBOARD_PORT": str(house.stack.services["control"].port),
        "EARTHFLOW_ADMIN_API_KEY": house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"],
        "PATH": f"{EARTHFLOW.parent}:{environment()['PATH']}",
    }
    return environment({**told, **more})


def curl(*words: str) -> subprocess.CompletedProcess[str]:
    """The real curl."""
    return subprocess.run(
        ["curl", "--max-time", f"{PATIENCE:g}", *words],
        capture_output=True,
        text=True,
        check=False,
    )


def connect_status(port: int, target: str, key: str | None) -> int:
    """CONNECT, and the status of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        auth = (
            f"Proxy-Authorization: Basic {b64encode(f'key:{key}'.encode()).decode()}\r\n"
            if key is not None
            else ""
        )
        client.sendall(
            f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{auth}\r\n".encode()
        )
        return int(client.makefile("rb").readline().split()[1])


def message(text: str, **more: Any) -> bytes:
    """An OpenAI chat body with one user message."""
    return json.dumps(
        {"model": "gpt-5.2", "messages": [{"role": "user", "content": text}], **more}
    ).encode()


def without_hashes(body: bytes) -> bytes:
    """A body in which the hash of each placeholder is a star."""
    return re.sub(rb"_[b-t]{8}\]", b"_*]", body)


def python(source: str) -> list[str]:
    """A Python program given as text."""
    return [sys.executable, "-c", source]
