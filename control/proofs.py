"""Signs what proxies are answered, so that nobody on the way can answer them."""

from aiohttp import web

from contract.proof import NONCE, NONCE_SHAPE, PROOF, proof_of
from control.auth import WAY
from control.errors import Handler


@web.middleware
async def proofs(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Add the proof to an answer to a proxy that sent a nonce and is who it says it is."""
    answered = await handler(request)
    nonce = request.headers.get(NONCE, "")
    if (
        WAY in request
        and isinstance(answered, web.Response)
        and NONCE_SHAPE.fullmatch(nonce)
    ):
        body = answered.body
        content = body if isinstance(body, bytes | bytearray) else b""
        answered.headers[PROOF] = proof_of(
            request[WAY].seal, nonce, request.path, answered.status, bytes(content)
        )
    return answered
