"""What `mitmdump -s addons/earthflow.py` loads; nobody imports it.

Under stock mitmdump calls are judged and recorded, and fail closed: until everything is built every connection is refused, and
what cannot be built ends the process with 78. Operator TLS and draining are `earthflow proxy` only.
"""

from mitmproxy import ctx
from mitmproxy.connection import Client
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from pydantic import ValidationError

from addons.run import REQUIRED
from addons.services import CANNOT_START, Services
from addons.settings import ProxySettings
from addons.tls import BadCertificate, check_ca, give_leaves, upstream_roots
from contract.settings import explain, refuse_start

PROGRAM = "earthflow under mitmdump"


class Earthflow:
    """Keeps the door shut until the gate stands; then the gate takes every hook."""

    name = "earthflow_start"

    def __init__(self) -> None:
        try:
            self._settings = ProxySettings()
            check_ca(self._settings.ca_dir)
            roots = self._settings.upstream_ca
            self._roots = (
                upstream_roots(roots, self._settings.state_dir / "upstream-roots.pem") if roots else None
            )
        except ValidationError as error:
            refuse_start(PROGRAM, explain(error))
        except BadCertificate as error:
            refuse_start(PROGRAM, [str(error)])
        if self._settings.tls_cert is not None:
            refuse_start(
                PROGRAM,
                [
                    "TLS_CERT_PATH is set, but the port's own TLS is `earthflow proxy` only; unset it, or start that"
                ],
            )
        self._settings.set_up_logging()
        self._services: Services | None = None

    def client_connected(self, client: Client) -> None:
        if self._services is None:
            client.error = "Earthflow is not ready yet"

    def server_connect(self, data: ServerConnectionHookData) -> None:
        if self._services is None:
            data.server.error = "Earthflow is not ready yet"

    async def running(self) -> None:
        ctx.options.update(
            **REQUIRED,
            confdir=str(self._settings.ca_dir),
            ssl_verify_upstream_trusted_ca=str(self._roots) if self._roots else None,
        )
        if "flow_detail" in ctx.options:
            ctx.options.update(
                flow_detail=0
            )  # mitmdump would print URLs, whose queries may hold what must not be shown
        try:
            services = await Services.start(self._settings)
        except CANNOT_START as error:
            refuse_start(PROGRAM, [str(error)])
        give_leaves(ctx.master.addons.get("tlsconfig"))
        ctx.master.addons.get("nextlayer")._next_layer = services.gate.front.next_layer
        ctx.master.addons.add(services.gate)
        self._services = services

    async def done(self) -> None:
        if self._services is not None:
            await self._services.stop()


addons = [Earthflow()]
