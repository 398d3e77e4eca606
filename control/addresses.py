"""The address that a request comes from, as far as those on its way may be believed."""

import hmac

from aiohttp import web

from contract.addresses import is_in
from contract.proof import RELAYED, relayed_mac
from control.state import STATE

ADDRESS = web.RequestKey("address", str)  # of a request within another one
FORWARDED = "X-Forwarded-For"
LONGEST = 64  # characters of an address, with its zone


def address_of(request: web.Request) -> str:
    """The client's address: the peer's own, unless the peer is a proxy of ours, which proves it, or one that
    EARTHFLOW_TRUSTED_PROXIES names. Then what it says, from its end, up to the first that is neither.
    """
    if ADDRESS in request:
        return request[ADDRESS]
    peer = request.remote or "unknown"
    said = ",".join(request.headers.getall(FORWARDED, []))
    state = request.app[STATE]
    mac = request.headers.get(RELAYED, "").encode("utf-8", "surrogateescape")
    ours = relayed_mac(state.vault.proxy_token, said).encode()
    if hmac.compare_digest(mac, ours):
        peer, said = said, ""
    named = state.settings.trusted_proxies
    hops = [hop.strip() for hop in said.split(",")] if said else []
    while hops and is_in(peer, named):
        peer = hops.pop()
    return peer[:LONGEST] if peer.isprintable() else "unreadable"
