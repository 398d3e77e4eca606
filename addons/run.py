"""`earthflow proxy`: a bare mitmproxy Master with the four addons it needs and ours, on one port.

Everything is built before the port is opened: settings, options, CA, certificates, snapshot, rulebooks, spool. What is missing or
broken is said in a sentence and ends the process with 78; a port that is taken ends it with 1.
"""

import asyncio
import errno
import logging
import signal
import sys
import time
from types import SimpleNamespace
from typing import Any

import uvloop
import yaml
from mitmproxy import addonmanager, exceptions, master, options, optmanager
from mitmproxy.addons import core, next_layer, proxyserver, tlsconfig
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.mode_servers import ServerInstance
from pydantic import ValidationError

from addons.lean import settle
from addons.record import Recorder
from addons.services import CANNOT_START, Services
from addons.settings import ProxySettings
from addons.tls import InnerTLS, OuterTLS, check_ca, upstream_roots
from contract.settings import explain, refuse_start

logger = logging.getLogger("earthflow.proxy")

PROGRAM = "earthflow proxy"
DRAIN_SECONDS = 30.0  # for calls under way when we are told to end
# What the guarantees rest on: mitm.conf may repeat these, not change them.
REQUIRED: dict[str, Any] = {
    "connection_strategy": "lazy",
    "ssl_insecure": False,
    "validate_inbound_headers": True,
    "rawtcp": False,
    "websocket": True,
    "stream_large_bodies": None,
    "body_size_limit": None,
    "ignore_hosts": [],
    "allow_hosts": [],
    "tcp_hosts": [],
    "request_client_cert": False,
    "certs": [],
}


class Proxyserver(proxyserver.Proxyserver):
    """mitmproxy's server addon, on our address, and failing when it cannot have it."""

    name = "proxyserver"

    def __init__(self, host: str, port: int):
        super().__init__()  # type: ignore[no-untyped-call]
        self._host, self._port = host, port
        self.ready = asyncio.Event()
        self.problem = "is not open"

    async def setup_servers(self) -> bool:
        mode = mode_specs.ProxyMode.parse("regular")
        instance: Any = ServerInstance.make(mode, self)
        try:
            instance._servers = [
                await asyncio.start_server(
                    instance.handle_stream, self._host or None, self._port, backlog=4096
                )
            ]
        except OSError as error:
            self.problem = (
                "is taken"
                if error.errno == errno.EADDRINUSE
                else f"cannot be had on `{self._host}`: {error.strerror or error}"
            )
        self.servers._instances[mode] = instance
        return True

    def running(self) -> None:
        super().running()  # type: ignore[no-untyped-call]
        self.ready.set()

    async def drain(self, recorder: Recorder) -> None:
        """Take no more connections; give the exchanges under way time to end. Idle connections are not waited for."""
        for instance in self.servers:
            await instance.stop()
        deadline = time.monotonic() + DRAIN_SECONDS
        while recorder.under_way and time.monotonic() < deadline:  # noqa: ASYNC110  (rare, and an event would be on every call's path)
            await asyncio.sleep(0.05)


class AddonErrors(logging.Handler):
    """Notes what mitmproxy would only log: an addon that failed while it was set up. Such a start is refused."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.failed = ""
        logging.getLogger("mitmproxy").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.failed = self.failed or record.getMessage()


def load_options(settings: ProxySettings, loaded: options.Options) -> list[str]:
    """Read mitm.conf into mitmproxy's options; sentences on what is wrong with it. Call once all addons are there."""
    path = settings.conf
    try:
        written = yaml.safe_load(path.read_text()) or {}
        if not isinstance(written, dict):
            return [f"{path}: must be lines of `option: value`"]
        optmanager.load(loaded, path.read_text(), path.parent)
    except OSError as error:
        return [f"cannot read {path}: {error.strerror}"]
    except (yaml.YAMLError, exceptions.OptionsError, TypeError, ValueError) as error:
        return [f"{path}: {error}"]
    problems = [f"{path}: unknown option `{name}`" for name in loaded.deferred]
    for name, value in written.items():
        choices = loaded._options[name].choices if name in loaded else None
        if choices and value not in choices:
            problems.append(f"{path}: `{name}` must be one of {', '.join(choices)}, not {value}")
        elif name in REQUIRED and value != REQUIRED[name]:
            problems.append(f"{path}: `{name}` must stay {REQUIRED[name]}; Earthflow's guarantees rest on it")
    return problems


def _stock_options(settings: ProxySettings) -> options.Options:
    """Every option that mitmproxy's addons know; ours add none. No Master is made, since one listens to the log for ever."""
    known = options.Options(confdir=str(settings.ca_dir))
    loader: Any = addonmanager.Loader(SimpleNamespace(options=known))
    for addon in (proxyserver.Proxyserver(), next_layer.NextLayer(), tlsconfig.TlsConfig()):
        if hasattr(addon, "load"):
            addon.load(loader)
    return known


async def serve(settings: ProxySettings) -> int:
    """Run until told to end; the exit status."""
    try:
        check_ca(settings.ca_dir)
        if problems := load_options(settings, _stock_options(settings)):
            refuse_start(PROGRAM, problems)  # said at once, and also where control is away
        outer = (
            [OuterTLS(settings.tls_cert, settings.tls_key, settings.tls_ca)]
            if settings.tls_cert and settings.tls_key
            else []
        )
        roots = (
            upstream_roots(settings.upstream_ca, settings.state_dir / "upstream-roots.pem")
            if settings.upstream_ca
            else None
        )
        services = await Services.start(settings)
    except CANNOT_START as error:
        refuse_start(PROGRAM, [str(error)])
    watch = AddonErrors()
    mitm = master.Master(options.Options(confdir=str(settings.ca_dir)), with_termlog=False)
    server = Proxyserver(settings.listen_host, settings.port)
    layers = next_layer.NextLayer()
    layers._next_layer = services.gate.front.next_layer  # type: ignore[method-assign]
    mitm.addons.add(core.Core(), server, services.gate, layers, *outer, InnerTLS())
    problems = load_options(settings, mitm.options)
    mitm.options.update(**REQUIRED, ssl_verify_upstream_trusted_ca=str(roots) if roots else None)
    if problems or watch.failed:
        refuse_start(PROGRAM, problems or [f"mitmproxy could not be set up: {watch.failed}"])
    settle(mitm)
    return await _run(mitm, server, services, settings)


async def _run(mitm: master.Master, server: Proxyserver, services: Services, settings: ProxySettings) -> int:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    running = asyncio.create_task(mitm.run())
    try:
        ready = asyncio.create_task(server.ready.wait())
        await asyncio.wait([running, ready], return_when=asyncio.FIRST_COMPLETED)
        if not server.listen_addrs():
            advice = "Stop what listens there, or set EARTHFLOW_PORT (or EARTHFLOW_LISTEN_HOST)."
            print(f"{PROGRAM}: port {settings.port} {server.problem}. {advice}", file=sys.stderr)
            return 1
        print(f"{PROGRAM}: listening on port {server.listen_addrs()[0][1]}", flush=True)
        await ended.wait()
        await server.drain(services.recorder)
        return 0
    finally:
        mitm.shutdown()
        await asyncio.gather(running, return_exceptions=True)
        await services.stop()


def main() -> None:
    """`python -m addons.run`."""
    try:
        settings = ProxySettings()
    except ValidationError as error:
        refuse_start(PROGRAM, explain(error))
    settings.set_up_logging()
    raise SystemExit(uvloop.run(serve(settings)))


if __name__ == "__main__":
    main()
