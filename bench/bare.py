"""Bare mitmproxy to compare with: uvloop, the four essential addons, the same options, nothing of ours on the path of a call.

python -m bench.bare CA_FOLDER UPSTREAM_CA UPSTREAM_PORT
"""

import asyncio
import sys
from typing import Any

import uvloop
from mitmproxy import http, master, options
from mitmproxy.addons import core, next_layer, proxyserver, tlsconfig

from addons.network.resolver import Resolver

HOST = ("api.openai.com", 443)


class Streams:
    """Lets streams stream, which mitmproxy by itself holds until their end."""

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """mitmproxy's hook."""
        assert flow.response is not None
        flow.response.stream = (
            flow.response.headers.get("content-type") == "text/event-stream"
        )


async def main(ca_folder: str, upstream_ca: str, upstream_port: str) -> None:
    """Serve until killed."""
    Resolver({HOST: ("127.0.0.1", int(upstream_port))}).guard(
        asyncio.get_running_loop()
    )
    mitm = master.Master(options.Options(confdir=ca_folder), with_termlog=False)
    server: Any = proxyserver.Proxyserver()
    mitm.addons.add(
        core.Core(), server, next_layer.NextLayer(), tlsconfig.TlsConfig(), Streams()
    )
    mitm.options.update(
        listen_host="127.0.0.1",
        listen_port=0,
        connection_strategy="lazy",
        ssl_verify_upstream_trusted_ca=upstream_ca,
        rawtcp=False,
    )

    async def announce() -> None:
        while not (server.is_running and server.listen_addrs()):
            await asyncio.sleep(0.01)
        print(f"listening on port {server.listen_addrs()[0][1]}", flush=True)

    said = asyncio.create_task(announce())
    await mitm.run()
    await said


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
