"""Proofs between control and proxies, who have the same master key.

A proxy shows a token and sends a nonce; control's answer carries a MAC over that nonce and all of itself. So nobody in between can
say that a snapshot is still the newest, or that records are stored which are not.

A record carries a MAC, too, on its way through Redis: whoever can write there can add no record. It does not guard against a proxy.
"""

import hmac
import os
import re
from functools import lru_cache

NONCE = "Earthflow-Nonce"
PROOF = "Earthflow-Proof"
RELAYED = "Earthflow-Relayed"
NONCE_SHAPE = re.compile(r"[0-9a-f]{32}")


def new_nonce() -> str:
    """32 hexadecimal digits that were never used."""
    return os.urandom(16).hex()


def proof_of(seal: bytes, nonce: str, path: str, status: int, body: bytes) -> str:
    """The MAC of an answer, in hexadecimal digits. `seal` is the `seal_key` of the proxy's master key."""
    key = hmac.digest(seal, b"earthflow/control-proof", "sha256")
    told = b"\n".join((nonce.encode(), path.encode(), str(status).encode(), body))
    return hmac.digest(key, told, "sha256").hex()


def is_proven(
    proof: str, seal: bytes, nonce: str, path: str, status: int, body: bytes
) -> bool:
    """Whether an answer is control's own, and to this question."""
    return hmac.compare_digest(
        proof.encode("utf-8", "replace"),
        proof_of(seal, nonce, path, status, body).encode(),
    )


def relayed_mac(token: str, address: str) -> str:
    """The MAC, by the token of proxies, with which a proxy says that it passes on a request of this address to control."""
    return hmac.digest(
        token.encode(),
        f"relayed\n{address}".encode("utf-8", "surrogateescape"),
        "sha256",
    ).hex()


def record_key(data_key: str) -> bytes:
    """The key of records' MACs. The data key stays when the master key is rotated."""
    return hmac.digest(data_key.encode(), b"earthflow/record-mac", "sha256")


def record_mac(key: bytes, payload: bytes) -> str:
    """The MAC of a record, whose payload names its worker, boot and number: `<id of the key>:<MAC>`, in hexadecimal digits."""
    return f"{_name_of(key)}:{hmac.digest(key, payload, 'sha256').hex()}"


@lru_cache(maxsize=8)  # a deployment has one, and another while it is replaced
def _name_of(key: bytes) -> str:
    return hmac.digest(key, b"earthflow/key-id", "sha256")[:4].hex()


def is_signed(mac: bytes, key: bytes, payload: bytes) -> bool:
    """Whether a record's MAC is right."""
    return hmac.compare_digest(mac, record_mac(key, payload).encode())
