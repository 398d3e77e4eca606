"""MCP's own conformance suite says the same of a server and of a client through the proxy as without it."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cli.processes import stop, wait_until
from cli.settings import environment
from contract.authority import issue, make_root
from tests.support.house import PATIENCE, House, Tenant

PYTHON = os.environ.get("EARTHFLOW_CLIENTS", "")
MODULES = Path(PYTHON).parents[1] / "npm" if PYTHON else Path()
PROGRAMS = MODULES / "mcp"
SUITE = MODULES / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
# the tools' host is opened, and of a domain that the CA may sign for; the other is no AI host
TOOLS, LOGIN = "mcp.api.groq.com", "login.example"
PATHS = {"": "mcp", "/mcp": "mcp"}
PROVIDERS = {"tools": {"hosts": [TOOLS], "refusal": "mcp", "paths": PATHS}}
# What `strict` refuses, since no format reads it: logging in on the tools' own host.
REFUSED = {
    "default": [],
    "strict": [
        "auth/2025-03-26-oauth-endpoint-fallback",
        "auth/2025-03-26-oauth-metadata-backcompat",
    ],
}
# says how late a client came again, which is the machine's matter
TIMING = "client-sse-retry-timing"
# the checks of each scenario, and what came of them
Outcomes = dict[str, list[tuple[str, str]]]


@dataclass
class Way:
    """How the suite, or the client that it tests, reaches servers."""

    folder: Path
    tenant: Tenant | None = None
    environment: Mapping[str, str] = field(default_factory=environment)
    preload: Sequence[str] = ()

    def server(self, url: str) -> Outcomes:
        """What the suite says of a server, in each scenario."""
        self._run("server", "--url", url, "--suite", "all", preload=self.preload)
        return self._outcomes("server")

    def client(self) -> Outcomes:
        """What the suite says of a client, in each scenario."""
        client = " ".join(("node", *self.preload, str(PROGRAMS / "client.mjs")))

        def run(scenario: str) -> None:
            self._run("client", "--command", client, "--scenario", scenario)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run, scenarios("client")))
        return self._outcomes("client")

    def read(self) -> int:
        """How many calls the proxy allowed and read in full."""
        assert self.tenant is not None
        query = f"/v1/audit?tenant={self.tenant.id}&limit=1000"
        rows = self.tenant.house.stack.control.get(query)["audit"]
        wanted = {"method": "POST", "status": "ALLOW", "coverage": "full"}
        return sum(wanted.items() <= row.items() for row in rows)

    def _run(self, mode: str, *words: str, preload: Sequence[str] = ()) -> None:
        to = ("--output-dir", str(self.folder / mode))
        subprocess.run(
            command(mode, *words, *to, preload=preload),
            env=dict(self.environment),
            capture_output=True,
            check=False,  # it fails where a scenario does
            timeout=300,
        )

    def _outcomes(self, mode: str) -> Outcomes:
        found = {}
        for file in (self.folder / mode).rglob("checks.json"):
            name = file.parent.relative_to(self.folder / mode).as_posix()
            name = re.sub(r"-\d{4}-\d\d-\d\dT[\d-]+Z$", "", name)
            found[name.removeprefix("server-" if mode == "server" else "")] = sorted(
                (check["id"], check["status"])
                for check in json.loads(file.read_text())
                if check["status"] != "INFO" and check["id"] != TIMING
            )
        return found


def command(*words: str, preload: Sequence[str] = ()) -> Sequence[str]:
    """The suite's own command."""
    shim = ("--import", str(PROGRAMS / "suite.mjs"))
    return "node", *shim, *preload, str(SUITE), *words


def scenarios(mode: str) -> list[str]:
    """The names of all scenarios of a mode."""
    done = subprocess.run(
        command("list", f"--{mode}"), capture_output=True, text=True, check=True
    )
    return re.findall(r"^  - (\S+)", done.stdout, re.MULTILINE)


def started(exit: ExitStack, *words: str) -> int:
    """Start one of our programs; the port that it says."""
    process = subprocess.Popen(["node", *words], stdout=subprocess.PIPE)
    exit.callback(stop, process)
    assert process.stdout is not None
    return int(process.stdout.readline())


@pytest.fixture(scope="module")
def exit() -> Iterator[ExitStack]:
    shutil.copytree(Path(__file__).parent / "mcp", PROGRAMS, dirs_exist_ok=True)
    with ExitStack() as exit:
        yield exit


@pytest.fixture(scope="module")
def house(exit: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> House:
    """An Earthflow that opens the tools' host."""
    folder = tmp_path_factory.mktemp("mcp")
    authority = make_root("Tools", days=2)
    chain, key = issue(authority, [TOOLS, LOGIN], days=2)
    (folder / "ca.pem").write_bytes(authority.pem)
    (folder / "pair.pem").write_bytes(key + chain)
    (folder / "providers.yaml").write_text(json.dumps({"providers": PROVIDERS}))
    port = started(exit, str(PROGRAMS / "front.mjs"), str(folder / "pair.pem"))
    told = {
        "EARTHFLOW_PROVIDERS": str(folder / "providers.yaml"),
        "EARTHFLOW_UPSTREAM_CA": str(folder / "ca.pem"),
        "EARTHFLOW_UPSTREAM_MAP": f"{TOOLS}=127.0.0.1:{port},{LOGIN}=127.0.0.1:{port}",
    }
    house = exit.enter_context(House(told))
    trusted = house.bundle.read_bytes() + authority.pem
    (house.folder / "trusted.pem").write_bytes(trusted)
    return house


@pytest.fixture(scope="module")
def url(exit: ExitStack) -> str:
    """The server that has everything."""
    return f"http://localhost:{started(exit, str(PROGRAMS / 'server.mjs'))}/mcp"


@pytest.fixture(params=REFUSED)
def proxied(house: House, request: pytest.FixtureRequest, tmp_path: Path) -> Way:
    """Through the proxy, under a preset."""
    tenant = house.tenant(request.param)
    hosts = {"TOOLS_HOST": TOOLS, "LOGIN_HOST": LOGIN}
    trust = {"NODE_EXTRA_CA_CERTS": str(house.folder / "trusted.pem")}
    told = {**tenant.environment(), **trust, "PROXY_URL": tenant.proxy(), **hosts}
    return Way(tmp_path, tenant, told, ("--import", str(PROGRAMS / "proxied.mjs")))


@pytest.fixture(scope="module")
def direct(exit: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Way:
    return Way(tmp_path_factory.mktemp("direct"))


@pytest.fixture(scope="module")
def direct_server(direct: Way, url: str) -> Outcomes:
    return direct.server(url)


@pytest.fixture(scope="module")
def direct_client(direct: Way) -> Outcomes:
    return direct.client()


def test_a_server_is_found_the_same(
    direct_server: Outcomes, proxied: Way, url: str
) -> None:
    assert sorted(direct_server) == sorted(scenarios("server"))
    assert "FAILURE" not in str(direct_server)
    assert proxied.server(url) == direct_server
    # each scenario made calls, and they were read
    assert wait_until(lambda: proxied.read() >= 2 * len(direct_server), PATIENCE)


def test_a_client_is_found_the_same(
    direct_client: Outcomes, proxied: Way, request: pytest.FixtureRequest
) -> None:
    assert sorted(direct_client) == sorted(scenarios("client"))
    assert "FAILURE" not in str(direct_client)
    found = proxied.client()
    unlike = [name for name in direct_client if found[name] != direct_client[name]]
    assert sorted(unlike) == REFUSED[request.node.callspec.params["proxied"]]
