"""The organisation's OpenID Connect provider, as control speaks with it: discovery, keys, codes and refresh tokens.

What it answers is bounded and read with care, and no redirect of it is followed.
"""

import asyncio
import ssl
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from contract.setting_types import private_url
from control.sign_in.tokens import (
    BadToken,
    Expected,
    Person,
    PublicKey,
    described,
    key_id,
    person_of,
    public_keys,
)

TIMEOUT = 10.0  # seconds for one answer, for which a person waits
LONGEST_URL = 2000
LARGEST = 1024 * 1024  # bytes of one; key sets and profiles are some kilobytes
# Seconds that what the provider says of itself is believed. Where a key is unknown its keys are read again at once, and for the
# next unknown one not before the second has passed: whoever makes up keys must not make us ask.
BELIEVED, PAUSE = 3600.0, 10.0
SCOPES = ("openid", "profile", "email")
# Seconds for which a provider that did not answer is not asked again: whoever waits gets the error at once.
REST = 10.0
# What a token endpoint says of a grant that is worth nothing (RFC 6749, 5.2; Core 1.0, 3.1.2.6).
WORTHLESS = (
    "invalid_grant", "access_denied", "interaction_required", "login_required", "consent_required",
)  # fmt: skip
# Scopes that not every provider knows: the first for groups, the second for a refresh token.
MORE_SCOPES = ("groups", "offline_access")


class Away(Exception):
    """The provider does not answer, or not as one does; why."""


class Refused(Exception):
    """The provider refuses: a code or a refresh token is worth nothing (any more)."""


class SignedIn(NamedTuple):
    """Somebody whom the provider knows. `refresh_token` asks again later; it is None where the provider gives none."""

    person: Person
    id_token: str
    refresh_token: str | None


class Fresh(NamedTuple):
    """What the token endpoint answered to a refresh token, and the refresh token to use next time."""

    told: Mapping[str, Any]
    refresh_token: str | None


class Client(NamedTuple):
    """We, as the provider knows us. `callback` is the URL that it sends people back to."""

    issuer: str
    id: str
    secret: str | None
    groups: str
    callback: str


class _Metadata(NamedTuple):
    authorize: str
    token: str
    keys: str
    userinfo: str | None
    end: str | None
    scopes: str
    by_basic: bool  # the secret goes into a header, else into the form


class Provider:
    """One provider. What it says of itself is remembered for a while, and longer where it is away."""

    def __init__(self, client: Client):
        self.client = client
        self._metadata: tuple[float, _Metadata] | None = None
        self._keys: tuple[float, Mapping[str, PublicKey]] | None = None
        self._failed: tuple[float, Away] | None = None
        # when the keys were last read again for an unknown one
        self._looked = float("-inf")
        self._reading = asyncio.Lock()
        self._tls = (
            ssl.create_default_context()
        )  # SSL_CERT_FILE names a CA of one's own

    async def start(self, state: str, nonce: str, verifier: str) -> str:
        """The URL to send a browser to. Raises Away."""
        there = await self._discovered()
        url: str = prepare_grant_uri(
            there.authorize,
            self.client.id,
            "code",
            self.client.callback,
            there.scopes,
            state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return url

    async def exchange(self, code: str, nonce: str, verifier: str) -> SignedIn:
        """Who came back with this code. Raises Away, Refused, BadToken."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.callback,
            "code_verifier": verifier,
        }
        told = await self._token(form)
        id_token = told.get("id_token")
        if not isinstance(id_token, str):
            raise BadToken("there is none")
        return await self._signed_in(told, id_token, nonce)

    async def refresh(self, refresh_token: str) -> Fresh:
        """New tokens, of which the one to use next time is kept before anything else is asked: the old one may be
        worth nothing now. Raises Away, Refused.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        told = await self._token(form)
        return Fresh(told, _refresh_token(told, refresh_token))

    async def again(self, fresh: Fresh, before: SignedIn) -> SignedIn:
        """The same person as the provider knows them now. Raises Away, Refused, BadToken."""
        id_token = fresh.told.get("id_token")
        if isinstance(id_token, str):
            now = await self._signed_in(fresh.told, id_token, None)
        else:  # Core 1.0, 12.2: it need not send a new one
            person = await self._asked_for(fresh.told, before.person)
            now = SignedIn(person, before.id_token, None)
        if now.person.subject != before.person.subject:
            raise BadToken("it is about somebody else")
        return now._replace(refresh_token=fresh.refresh_token)

    @property
    def sign_out_origin(self) -> str:
        """The origin of the provider's page to sign out; empty where none is known. Asks nobody."""
        there = self._metadata[1] if self._metadata is not None else None
        parts = urlsplit(there.end) if there is not None and there.end else None
        return f"{parts.scheme}://{parts.netloc}" if parts is not None else ""

    def end(self, id_token: str, back: str) -> str | None:
        """The URL that ends somebody's session at the provider; None where none is known. Asks nobody."""
        there = self._metadata[1] if self._metadata is not None else None
        if there is None or there.end is None:
            return None
        told = [("client_id", self.client.id), ("post_logout_redirect_uri", back)]
        if len(id_token) <= LONGEST_URL:
            told.append(("id_token_hint", id_token))
        url: str = add_params_to_uri(there.end, told)
        return url

    async def _signed_in(
        self,
        told: Mapping[str, Any],
        id_token: str,
        nonce: str | None,
    ) -> SignedIn:
        access = told.get("access_token")
        expected = Expected(
            self.client.issuer,
            self.client.id,
            self.client.groups,
            nonce,
            access if isinstance(access, str) else None,
        )
        keys = await self._keys_with(key_id(id_token))
        person = person_of(id_token, keys, expected, int(time.time()))
        if person.groups is None:
            person = await self._asked_for(told, person)
        return SignedIn(person, id_token, _refresh_token(told, None))

    async def _asked_for(self, told: Mapping[str, Any], known: Person) -> Person:
        """The person with the groups that the userinfo endpoint has. Raises Away, BadToken where it is about somebody else."""
        there, access = await self._discovered(), told.get("access_token")
        if there.userinfo is None or not isinstance(access, str):
            return known
        headers = {"Authorization": f"Bearer {access}"}
        person = described(
            await self._json("GET", there.userinfo, headers=headers), self.client.groups
        )
        if person.subject != known.subject:
            raise BadToken("what the provider says is about somebody else")
        return known._replace(groups=person.groups)

    async def _token(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """The answer of the token endpoint (RFC 6749, 5). Raises Away, Refused."""
        there, id, secret = (
            await self._discovered(),
            self.client.id,
            self.client.secret,
        )
        sent, headers = {**form, "client_id": id}, {}
        if secret is not None and there.by_basic:
            # both parts as a form has them: section 2.3.1
            pair = quote(id, safe=""), quote(secret, safe="")
            headers["Authorization"] = aiohttp.encode_basic_auth(*pair)
        elif secret is not None:
            sent["client_secret"] = secret
        return await self._json("POST", there.token, data=sent, headers=headers)

    async def _discovered(self) -> _Metadata:
        """What the provider says of itself (OpenID Connect Discovery 1.0). Raises Away."""
        async with self._reading:
            read = self._metadata
            if read is not None and time.monotonic() - read[0] < BELIEVED:
                return read[1]
            try:
                self._may_ask()
                document = await self._json(
                    "GET",
                    f"{self.client.issuer.rstrip('/')}/.well-known/openid-configuration",
                )
                there = _metadata_of(document, self.client.issuer)
            except Away as error:
                self._rest(error)
                if read is None:
                    raise
                return read[1]
            self._metadata = (time.monotonic(), there)
            return there

    async def _keys_with(self, key: str) -> Mapping[str, PublicKey]:
        """The provider's keys, read again where this one is not among them. Raises Away."""
        there = await self._discovered()
        async with self._reading:
            read, now = self._keys, time.monotonic()
            if read is not None and now - read[0] < BELIEVED:
                if key in read[1] or now - self._looked < PAUSE:
                    return read[1]
                self._looked = now
            try:
                self._may_ask()
                found = public_keys(await self._json("GET", there.keys))
                if not found:
                    raise Away("it names no key")
            except Away as error:
                self._rest(error)
                if read is None:
                    raise
                return read[1]
            self._keys = (now, found)
            return found

    def _may_ask(self) -> None:
        """Raises Away where it did not answer a moment ago."""
        if self._failed is not None and time.monotonic() - self._failed[0] < REST:
            raise Away(str(self._failed[1]))

    def _rest(self, error: Away) -> None:
        if self._failed is None or time.monotonic() - self._failed[0] >= REST:
            self._failed = (time.monotonic(), error)

    async def _json(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        """A JSON object. Raises Away, Refused where the provider says that a grant is worth nothing."""
        try:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(ssl=self._tls),
                    timeout=aiohttp.ClientTimeout(TIMEOUT),
                ) as session,
                session.request(method, url, allow_redirects=False, **more) as answer,
            ):
                body = await _whole(answer.content)
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Away(f"it does not answer ({type(error).__name__})") from None
        try:
            told = msgspec.json.decode(body)
        except (ValueError, RecursionError):  # as msgspec's errors are; and no UTF-8
            told = None
        if not isinstance(told, dict):
            raise Away(f"it answers {status}, and no JSON object")
        if 400 <= status < 500 and told.get("error") in WORTHLESS:
            raise Refused
        if status != 200:
            code = told.get("error")
            said = (
                f" and {code}" if isinstance(code, str) and code.isidentifier() else ""
            )
            raise Away(f"it answers {status}{said}")
        return told


def _metadata_of(document: Mapping[str, Any], issuer: str) -> _Metadata:
    if document.get("issuer") != issuer:
        raise Away(
            "it names another issuer than EARTHFLOW_OIDC_ISSUER does, which must be the same letter for letter"
        )
    names = (
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "userinfo_endpoint",
        "end_session_endpoint",
    )
    found = {name: _endpoint(document.get(name)) for name in names}
    authorize, token, keys, userinfo, end = found.values()
    if authorize is None or token is None or keys is None:
        raise Away(
            f"it names no {' or no '.join(name for name in names[:3] if found[name] is None)}"
        )
    known = document.get("scopes_supported")
    more = [one for one in MORE_SCOPES if isinstance(known, list) and one in known]
    ways = document.get(
        "token_endpoint_auth_methods_supported", ["client_secret_basic"]
    )
    basic = not isinstance(ways, list) or "client_secret_basic" in ways
    scopes = " ".join([*SCOPES, *more])
    return _Metadata(authorize, token, keys, userinfo, end, scopes, basic)


def _endpoint(url: object) -> str | None:
    """A URL that secrets may be sent to; it may have a query."""
    if not isinstance(url, str) or len(url) > LONGEST_URL:
        return None
    try:
        private_url(url.partition("?")[0])
    except ValueError:
        return None
    return url


def _refresh_token(told: Mapping[str, Any], before: str | None) -> str | None:
    """The refresh token to use next time; the one before stays where there is no new one."""
    new = told.get("refresh_token")
    return new if isinstance(new, str) and new else before


async def _whole(content: aiohttp.StreamReader) -> bytes:
    """A body. Raises ValueError where it is too large."""
    parts, size = [], 0
    async for part in content.iter_any():
        size += len(part)
        if size > LARGEST:
            raise ValueError("too large")
        parts.append(part)
    return b"".join(parts)
