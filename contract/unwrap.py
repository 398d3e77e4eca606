"""Opens what the master key closes: derived keys, and wrapped secrets.

Control wraps, stores and rotates them (`control/vault.py`); the proxy only opens them.
"""

import base64
import hmac

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class WrongMasterKey(Exception):
    """EARTHFLOW_MASTER_KEY does not open this: it was sealed with another key, or
    altered since.
    """


def derive(master: str, purpose: str) -> bytes:
    """32 bytes for one purpose (HKDF-SHA256), from the master key's 44 base64 characters."""
    kdf = HKDF(
        algorithm=hashes.SHA256(),
        length=32,
        salt=None,
        info=b"earthflow/" + purpose.encode(),
    )
    return kdf.derive(base64.urlsafe_b64decode(master))


def proxy_token(master: str) -> str:
    """The bearer token by which a proxy proves to control that it has the same master
    key.
    """
    return base64.urlsafe_b64encode(derive(master, "proxy-token")).decode()


def cache_key(master: str) -> bytes:
    """The key that authenticates compiled rules on a proxy's disk."""
    return derive(master, "compiled-rules")


def placeholder_key(prompt_key: bytes) -> bytes:
    """A tenant's key for placeholders, derived from its key for prompts: one reveals
    nothing of the other.
    """
    return hmac.digest(prompt_key, b"earthflow/placeholder", "sha256")


def prompt_cipher(prompt_key: bytes) -> Fernet:
    """Seals a tenant's prompts, where the audit keeps them; derived from its key for
    prompt hashes.
    """
    return Fernet(
        base64.urlsafe_b64encode(
            hmac.digest(prompt_key, b"earthflow/prompt-text", "sha256")
        )
    )


def unwrap(key: str, wrapped: str) -> bytes:
    """The secret inside a wrapped one, by the master key or the data key.

    Raises WrongMasterKey.
    """
    try:
        return Fernet(key).decrypt(wrapped.encode())
    except InvalidToken:
        raise WrongMasterKey(WrongMasterKey.__doc__) from None


def key_id(master: str) -> str:
    """An id of the master key that reveals nothing of it."""
    return derive(master, "key-id")[:4].hex()


def seal_key(master: str) -> bytes:
    """The Fernet key that seals a snapshot, on the wire and on the proxy's disk."""
    return base64.urlsafe_b64encode(derive(master, "snapshot-seal"))
