"""Kept prompts: what the audit keeps of a call's texts where AUDIT_HASH_PROMPTS is false, sealed under the tenant's key.

It has all that rules see of a call but its head, so that the call can be judged again: with headers, a client's own credentials
would be kept.
"""

import zlib
from datetime import datetime

import msgspec
from cryptography.fernet import InvalidToken

from contract.unwrap import prompt_cipher

LARGEST = 16 * 1024 * 1024  # bytes of one, opened
FORMAT = 2  # of version 1 there was a list of the prompt's texts


class KeptText(msgspec.Struct, omit_defaults=True):
    """A text of a call. `cut`: it was longer. `fixed`: it stands outside of the body, and cannot be replaced there; `signed`: it is
    bound to a provider's signature.
    """

    role: str
    text: str
    cut: bool = False
    kind: str = "text"
    tool: str = ""
    argument: str = ""
    fixed: bool = False
    signed: bool = False


class KeptCall(msgspec.Struct, omit_defaults=True):
    """The texts of a call, and of its context what no record has. `cut`: it has more texts, or one of them was cut."""

    texts: list[KeptText]
    format: int = 1
    path: str = ""
    model: str = ""
    user: str = ""
    time: datetime | None = None
    cut: bool = False


_encoder = msgspec.json.Encoder()
_call, _texts = msgspec.json.Decoder(KeptCall), msgspec.json.Decoder(list[KeptText])


def seal(key: bytes, call: KeptCall) -> str:
    """A call under a tenant's key for prompts."""
    told = zlib.compress(_encoder.encode(call), 1)
    return prompt_cipher(key).encrypt(told).decode()


def opened(key: bytes, sealed: str) -> KeptCall | None:
    """A call that was kept; None where it cannot be read."""
    try:
        closed = prompt_cipher(key).decrypt(sealed.encode())
        told = zlib.decompressobj().decompress(closed, LARGEST)
        if told.startswith(b"["):
            return KeptCall(_texts.decode(told), cut=True)
        return _call.decode(told)
    except (InvalidToken, zlib.error, ValueError):  # as msgspec's errors are
        return None
