"""What `mitmdump -s addons/earthflow.py` loads; nobody imports it.

Under stock mitmdump calls are judged and recorded, and fail closed: until everything is built,
every connection is refused, and what cannot be built ends the process with status 78.
TLS on the port itself and draining exist in `earthflow proxy` only.
"""

from mitmproxy import ctx
from mitmproxy.connection import Client
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from pydantic import ValidationError

from addons.mitm import bends
from addons.mitm.certificates import BadCertificate, give_leaves, upstream_roots
from addons.mitm.options import REQUIRED
from addons.mitm.own_certificates import OwnCertificates
from addons.services import CANNOT_START, Services
from addons.settings import ProxySettings
from contract.providers import BadProviders
from contract.settings import explain, refuse_start

PROGRAM = "earthflow under mitmdump"
NOT_READY = "Earthflow is not ready yet"


class Earthflow:
    """Refuses connections until the services run; then adds the hooks."""

    name = "earthflow_start"

    def __init__(self) -> None:
        try:
            self._settings = ProxySettings()
            if self._settings.tls_cert is not None:
                raise BadCertificate(
                    "TLS_CERT_PATH is set, but the port's own TLS is `earthflow proxy` only; unset it, or start that"
                )
            self._certificates = OwnCertificates(self._settings)
            self._roots = upstream_roots(self._settings)
        except ValidationError as error:
            refuse_start(PROGRAM, explain(error))
        except (BadCertificate, BadProviders) as error:
            refuse_start(PROGRAM, [str(error)])
        self._settings.set_up_logging()
        self._services: Services | None = None

    def client_connected(self, client: Client) -> None:
        if self._services is None:
            client.error = NOT_READY

    def server_connect(self, data: ServerConnectionHookData) -> None:
        if self._services is None:
            data.server.error = NOT_READY

    async def running(self) -> None:
        ctx.options.update(
            **REQUIRED,
            confdir=str(self._settings.confdir),
            ssl_verify_upstream_trusted_ca=self._roots,
        )
        if "flow_detail" in ctx.options:
            # mitmdump would print URLs, whose queries may hold secrets.
            ctx.options.update(flow_detail=0)
        try:
            services = await Services.start(self._settings, self._certificates)
        except CANNOT_START as error:
            refuse_start(PROGRAM, [str(error)])
        bends.install()
        inner = ctx.master.addons.get("tlsconfig")
        give_leaves(inner)
        services.follow(self._certificates, inner)
        bends.choose_layers(ctx.master.addons.get("nextlayer"), services.layer_choice)
        ctx.master.addons.add(services.hooks)
        self._services = services

    async def done(self) -> None:
        if self._services is not None:
            await self._services.stop()


addons = [Earthflow()]
