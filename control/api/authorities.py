"""`/v1/ca`: the roots of interception, and the issuers that proxies get of them."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from cryptography import x509

from contract.authority import is_authority, may_be_root
from control.api.bodies import body_of
from control.errors import ApiError, answer
from control.state import STATE
from control.store import authorities
from control.store.authorities import NotNow, Root, RootOffline

LONGEST = 16 * 1024  # characters of a certificate or a request
Pem = Annotated[str, msgspec.Meta(max_length=LONGEST)]


class RootView(msgspec.Struct):
    """A root. `key`: whether control has it; `state`: whether clients must trust it."""

    sha256: str
    certificate: str
    not_after: datetime
    key: Literal["sealed", "offline"]
    state: Literal["in use", "being replaced", "retired"]


class Roots(msgspec.Struct):
    """All roots, oldest first."""

    roots: list[RootView]


class NewRoot(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a new root: its certificate (PEM) where its key is offline; `beside`
    the one in use, which it replaces.
    """

    certificate: Pem | None = None
    beside: bool = False


class NewIssuer(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request for an issuer: PKCS #10 (PEM), and the hosts that it opens."""

    request: Pem
    hosts: Annotated[list[str], msgspec.Meta(min_length=1, max_length=1000)]


class Issued(msgspec.Struct):
    """What proxies send below their leaves, and what clients trust (PEM)."""

    chain: str
    roots: str


async def every(request: web.Request) -> web.Response:
    """The roots."""
    return answer(_shown(await authorities.every(request.app[STATE].pool)))


async def create(request: web.Request) -> web.Response:
    """Make a root, or take in the certificate of one whose key is offline."""
    state = request.app[STATE]
    body = await body_of(request, NewRoot, "{}")
    certificate = _root(body.certificate) if body.certificate is not None else None
    try:
        roots = await authorities.add(
            state.pool, state.vault, certificate, beside=body.beside
        )
    except NotNow as error:
        raise ApiError(409, "not_now", str(error)) from None
    return answer(_shown(roots), 201)


async def issue(request: web.Request) -> web.Response:
    """Certify an issuer's key."""
    state = request.app[STATE]
    body = await body_of(request, NewIssuer, '{"request": "-----BEGIN …", "hosts": ["api.openai.com"]}')  # fmt: skip
    roots = await authorities.every(state.pool)
    try:
        chain = authorities.issued(
            state.vault, roots, body.request.encode(), body.hosts
        )
    except NotNow as error:
        code = "root_offline" if isinstance(error, RootOffline) else "not_now"
        raise ApiError(409, code, str(error)) from None
    except ValueError as error:
        raise ApiError(
            400, "bad_request", f"The request cannot be signed: {error}"
        ) from None
    used = (root.certificate for root in roots if root.retired is None)
    return answer(Issued(chain, "".join(used)))


async def finish(request: web.Request) -> web.Response:
    """End the change of roots: only the newest stays in use."""
    try:
        return answer(_shown(await authorities.retire(request.app[STATE].pool)))
    except NotNow as error:
        raise ApiError(409, "not_now", str(error)) from None


def _root(pem: str) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise ApiError(
            400, "bad_request", "`certificate` is no PEM certificate."
        ) from None
    if not is_authority(certificate):
        raise ApiError(400, "bad_request", "`certificate` is no CA's.")
    if not may_be_root(certificate):
        raise ApiError(
            400,
            "bad_request",
            "`certificate` is no root with an EC key and a subject key identifier.",
        )
    return certificate


def _shown(roots: list[Root]) -> Roots:
    newest = next((root for root in reversed(roots) if root.retired is None), None)
    return Roots(
        [
            RootView(
                root.sha256,
                root.certificate,
                root.parsed.not_valid_after_utc,
                "sealed" if root.key else "offline",
                "retired"
                if root.retired
                else "in use"
                if root is newest
                else "being replaced",
            )
            for root in roots
        ]
    )
