"""`earthflow proxy`: a bare mitmproxy Master with the four addons it needs and Earthflow's, on one port.

Everything is built before the port is opened: settings, options, CA, certificates, snapshot,
rulebooks, spool. What is missing or broken is explained and ends the process with status 78;
a port that is taken ends it with 1.
"""

import asyncio
import contextlib
import errno
import signal
import sys
from pathlib import Path

import addons.mitm  # noqa: F401  # isort: skip  (before mitmproxy: see there)
import uvloop
from mitmproxy import master, options
from mitmproxy.addons import core, next_layer
from pydantic import ValidationError

from addons.mitm import bends
from addons.mitm.certificates import InnerTLS, upstream_roots
from addons.mitm.options import REQUIRED, known_options, load_options
from addons.mitm.own_certificates import OwnCertificates
from addons.mitm.server import AddonErrors, Proxyserver
from addons.services import CANNOT_START, Services
from addons.settings import ProxySettings
from addons.status import heap
from contract.drain import noticed
from contract.settings import explain, refuse_start

PROGRAM = "earthflow proxy"
PROBE_BYTES = 64 * 1024  # more than what a full disk may still have in a block


def _try_to_write(folder: Path) -> None:
    """Raises OSError, in words, where the state folder takes no file."""
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe.write_bytes(bytes(PROBE_BYTES))
    except OSError as error:
        sentence = (
            f"{folder} cannot be written to: {error.strerror}. EARTHFLOW_STATE_DIR must be a folder or volume "
            "that this user may write to, with space left."
        )
        if error.errno == errno.ENOSPC:
            raise OSError(errno.ENOSPC, sentence) from None
        raise OSError(sentence) from None
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


async def serve(settings: ProxySettings) -> int:
    """Run until SIGTERM or SIGINT; the exit status."""
    try:
        _try_to_write(settings.state_dir)
        certificates = OwnCertificates(settings)
        if problems := load_options(settings, known_options(settings)):
            # Now: waiting for control would hide it.
            refuse_start(PROGRAM, problems)
        roots = upstream_roots(settings)
        services = await Services.start(settings, certificates)
    except CANNOT_START as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            print(f"{PROGRAM}: {error.strerror}", file=sys.stderr)
            return 1  # which a service manager tries again: space may be freed
        refuse_start(PROGRAM, [str(error)])
    bends.install()
    watch = AddonErrors()
    mitm = master.Master(
        options.Options(confdir=str(settings.confdir)), with_termlog=False
    )
    server = Proxyserver(settings.listen_host, settings.port)
    layers = next_layer.NextLayer()
    bends.choose_layers(layers, services.layer_choice)
    outer = [certificates.outer] if certificates.outer is not None else []
    inner = InnerTLS()
    mitm.addons.add(core.Core(), server, services.hooks, layers, *outer, inner)
    problems = load_options(settings, mitm.options)
    mitm.options.update(**REQUIRED, ssl_verify_upstream_trusted_ca=roots)
    if watch.failed:
        problems.append(f"mitmproxy could not be set up: {watch.failed}")
    if problems:
        refuse_start(PROGRAM, problems)
    bends.freeze(mitm)
    services.follow(certificates, inner)
    return await _run(mitm, server, services, settings)


async def _run(
    mitm: master.Master,
    server: Proxyserver,
    services: Services,
    settings: ProxySettings,
) -> int:
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
            problem = f"port {settings.port} {server.problem}. {advice}"
            print(f"{PROGRAM}: {problem}", file=sys.stderr)
            return 1
        print(f"{PROGRAM}: listening on port {server.listen_addrs()[0][1]}", flush=True)
        await ended.wait()
        services.health.end()
        await noticed(ended, settings.drain_seconds)
        await server.drain(services.recorder)
        return 0
    finally:
        mitm.shutdown()
        await asyncio.gather(running, return_exceptions=True)
        await services.stop()


def main() -> None:
    """`python -m addons.run`."""
    heap.tune()
    try:
        settings = ProxySettings()
    except ValidationError as error:
        refuse_start(PROGRAM, explain(error))
    settings.set_up_logging()
    raise SystemExit(uvloop.run(serve(settings)))


if __name__ == "__main__":
    main()
