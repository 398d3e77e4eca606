"""Attempts to sign in: what a browser keeps while its person is at the provider, and what is granted at the end."""

import re
import secrets
import time
from typing import Self

import msgspec

from contract.keys import StaffRole
from contract.unwrap import WrongMasterKey
from control.sign_in.provider import SignedIn
from control.sign_in.roles import Granted
from control.sign_in.tokens import SKEW, Person
from control.vault import Vault

SEALED, OFFERED = "attempt", "offer"  # what the browser keeps is sealed for
LASTS = 600  # seconds to sign in at the provider
# Without vowels, so that no words come up, and without letters that look like others (RFC 8628, 6.1): 20 ** 8 codes.
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
USER_CODE = re.compile(rf"[{LETTERS}]{{4}}-[{LETTERS}]{{4}}")
LOCAL_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]{0,500}")


def local(then: str) -> str:
    """A path here, where it is one; else the first page."""
    return then if LOCAL_PATH.fullmatch(then) else "/"


class Attempt(msgspec.Struct, frozen=True):
    """One attempt, which only its browser has. `then`: the path to go to; `user_code`: the command that it is for."""

    state: str
    nonce: str
    verifier: str
    began: float
    then: str
    user_code: str = ""

    @classmethod
    def new(cls, then: str, user_code: str = "") -> Self:
        """A new one. `then` may be anything; only a path here is followed."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(state, nonce, verifier, time.time(), local(then), user_code)

    def kept(self, vault: Vault) -> str:
        """As the cookie has it."""
        return vault.seal(SEALED, msgspec.json.encode(self))


class Tokens(msgspec.Struct, frozen=True):
    """What asks the provider about somebody again. Kept wrapped."""

    id_token: str
    refresh_token: str | None


class Grant(msgspec.Struct, frozen=True):
    """Who signed in, and what they get. For a command it is kept wrapped until the command fetches it."""

    subject: str
    name: str
    role: StaffRole
    tenants: list[str] | None
    tokens: Tokens


def attempt_of(cookie: str | None, vault: Vault) -> Attempt | None:
    """The attempt that a browser kept; None where it has none, or an old or forged one."""
    try:
        read = msgspec.json.decode(vault.unseal(SEALED, cookie or ""), type=Attempt)
    except (WrongMasterKey, msgspec.MsgspecError, ValueError):
        return None
    return read if -SKEW <= time.time() - read.began < LASTS else None


def cookie_name(public_url: str) -> str:
    """The name of an attempt's cookie. By HTTPS no other host of the domain can set one of this name."""
    https = public_url.startswith("https:")
    return "__Host-earthflow-sign-in" if https else "earthflow-sign-in"


def grant_of(signed_in: SignedIn, granted: Granted) -> Grant:
    """What somebody gets."""
    person, tenants = signed_in.person, granted.tenants
    return Grant(
        person.subject,
        person.name,
        granted.role,
        list(tenants) if tenants is not None else None,
        Tokens(signed_in.id_token, signed_in.refresh_token),
    )


class Offer(msgspec.Struct, frozen=True):
    """A grant that its person has not given yet to the command with this code."""

    user_code: str
    grant: Grant
    made: float

    def kept(self, vault: Vault) -> str:
        """As the page has it."""
        return vault.seal(OFFERED, msgspec.json.encode(self))


def offer_of(sealed: str, vault: Vault) -> Offer | None:
    """An offer that a page kept; None for an old or forged one."""
    try:
        read = msgspec.json.decode(vault.unseal(OFFERED, sealed), type=Offer)
    except (WrongMasterKey, msgspec.MsgspecError, ValueError):
        return None
    return read if -SKEW <= time.time() - read.made < LASTS else None


def opened(wrapped: str, vault: Vault) -> Grant:
    """A grant that was kept. Raises WrongMasterKey."""
    return msgspec.json.decode(vault.open(wrapped), type=Grant)


def tokens_of(wrapped: str, vault: Vault) -> Tokens:
    """Tokens that were kept. Raises WrongMasterKey."""
    return msgspec.json.decode(vault.open(wrapped), type=Tokens)


def before(subject: str, tokens: Tokens) -> SignedIn:
    """Somebody as they were when they signed in."""
    return SignedIn(Person(subject, "", None), tokens.id_token, tokens.refresh_token)


def new_user_code() -> str:
    """What a person reads in a command and gives to a page."""
    letters = "".join(secrets.choice(LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"
