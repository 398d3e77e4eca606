"""ID tokens (OpenID Connect Core 1.0, 3.1.3.7): whether one is the provider's, for us, now, and what it says of a person.

joserfc reads and proves the token, authlib compares its claims; both raise many kinds of errors on what strangers write, so that
any of them means that the token is bad.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import (
    BadSignatureError,
    ClaimError,
    JoseError,
    UnsupportedAlgorithmError,
)
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

type PublicKey = RSAKey | ECKey | OKPKey

# By a key that only the provider has: no `none`, and nothing that our own secret could sign.
ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
)  # fmt: skip
# Seconds that the clocks of provider and control may be apart.
SKEW = 60
LONGEST = (
    64 * 1024
)  # characters; 200 groups, the most that providers put in, are a tenth of it
MOST_KEYS = 100  # of a provider; more are not looked at
MOST_GROUPS = 10_000
LONGEST_NAME = 100  # characters of a person's name, which stands in the list of keys
_REGISTRY = jws.JWSRegistry(algorithms=list(ALGORITHMS))
_ERRORS = (JoseError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)  # fmt: skip


class BadToken(Exception):
    """Not a token that may be believed; why, in words that name none of its values."""


class UnknownKey(BadToken):
    """It is signed with a key that the provider did not name so far."""


class Expected(NamedTuple):
    """What a token must say: who made it, for whom, and the nonce of the sign-in (None where it is a refreshed one).
    `groups`: the name of the claim that has a person's groups.
    """

    issuer: str
    client_id: str
    groups: str
    nonce: str | None = None
    access_token: str | None = None


class Person(NamedTuple):
    """Who signed in: `subject` is the provider's id for somebody, `name` is for people to read. `groups`: None where they are not said."""

    subject: str
    name: str
    groups: Sequence[str] | None


def public_keys(document: object) -> dict[str, PublicKey]:
    """The keys for signatures in a JWK set, by their ids; what we cannot use is left out."""
    listed = document.get("keys") if isinstance(document, dict) else None
    keys: dict[str, PublicKey] = {}
    for one in listed[:MOST_KEYS] if isinstance(listed, list) else []:
        if not isinstance(one, dict) or one.get("use", "sig") != "sig":
            continue
        public = {name: value for name, value in one.items() if name != "d"}
        try:
            key = import_key(public)
        except _ERRORS:
            continue
        if isinstance(key, RSAKey | ECKey | OKPKey):
            keys[str(one.get("kid", ""))] = key
    return keys


def key_id(token: str) -> str:
    """The id of the key that a token says it is signed with; empty where it says none. Raises BadToken."""
    if len(token) > LONGEST or token.count(".") != 2:
        raise BadToken("it is no signed token, or too long")
    try:
        header = jws.extract_compact(token.encode()).headers()
    except _ERRORS:
        raise BadToken("it cannot be read") from None
    return str(header.get("kid", ""))


def person_of(
    token: str, keys: Mapping[str, PublicKey], expected: Expected, now: int
) -> Person:
    """Whom a token is about. `now`: seconds since 1970. Raises BadToken."""
    named = key_id(token)
    # A provider with one key need not name it (Core 1.0, 10.1).
    key = next(iter(keys.values())) if not named and len(keys) == 1 else keys.get(named)
    if key is None:
        raise UnknownKey("it is signed with a key that the provider does not have")
    try:
        read = jwt.decode(token, key, registry=_REGISTRY)
        claims = CodeIDToken(
            read.claims,
            read.header,
            {
                "iss": {"essential": True, "value": expected.issuer},
                "aud": {"essential": True, "value": expected.client_id},
            },
            {
                "nonce": expected.nonce,
                "client_id": expected.client_id,
                "access_token": expected.access_token,
            },
        )
        claims.validate(now, SKEW)
    except _ERRORS as error:
        raise BadToken(_why(error)) from None
    return described(claims, expected.groups)


def described(claims: Mapping[str, Any], groups: str) -> Person:
    """What claims say of a person. Raises BadToken where they name nobody."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise BadToken("it names nobody")
    names = (claims.get(one) for one in ("email", "preferred_username", "name"))
    name = next((one for one in names if isinstance(one, str) and one.strip()), subject)
    shown = "".join(one if one.isprintable() else " " for one in name).strip()
    return Person(subject, shown[:LONGEST_NAME], groups_of(claims.get(groups)))


def groups_of(claim: object) -> Sequence[str] | None:
    """The groups that a claim names: a list, or one. None where there are none to read, which is not the same as none."""
    if isinstance(claim, str):
        return [claim]
    if not isinstance(claim, list):
        return None
    return [one for one in claim[:MOST_GROUPS] if isinstance(one, str)]


def _why(error: Exception) -> str:
    """Which check failed, without a value of the token."""
    if isinstance(error, ClaimError):
        return f"its {error.claim} is not what it must be"
    if isinstance(error, BadSignatureError):
        return "its signature is wrong"
    if isinstance(error, UnsupportedAlgorithmError):
        return "it is signed in a way that is not allowed"
    return f"it cannot be believed ({type(error).__name__})"
