"""API keys: `ef_live_<id 12>_<secret 43>_<crc 6>`, all base62.

The checksum rejects a typo without a look-up, and makes secret scanners sure. A random
secret of 256 bits needs no slow hash: the id and HMAC-SHA256(pepper, secret) are
stored. The alphabet is URL-safe, so that a key can stand in a proxy URL.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

# Whose key it is: a tenant's, or one of staff. What each may do is in control/permissions.py.
Role = Literal["tenant", "admin", "operator", "auditor", "auditor+prompts", "metrics"]
StaffRole = Literal["admin", "operator", "auditor", "auditor+prompts", "metrics"]
# Those whose keys may be bound to some tenants.
BindableRole = Literal["operator", "auditor", "auditor+prompts"]
BINDABLE: tuple[BindableRole, ...] = get_args(BindableRole)
# How a key's text begins.
KINDS: Mapping[Role, str] = {
    "tenant": "live",
    "admin": "adm",
    "operator": "opr",
    "auditor": "aud",
    "auditor+prompts": "aud",
    "metrics": "met",
}
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
SHAPE = re.compile(
    r"ef_(live|test|adm|opr|aud|met)_([0-9A-Za-z]{12})_([0-9A-Za-z]{43})_([0-9A-Za-z]{6})",
    re.ASCII,
)


class Key(NamedTuple):
    """A key in clear.

    Its owner has `text`; only the `id` and a digest of the secret are stored.
    """

    id: str
    secret: str
    text: str

    def __repr__(self) -> str:
        return f"Key({self.id}, ****)"


def _checksum(body: str) -> str:
    value, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        value, digit = divmod(value, 62)
        digits = ALPHABET[digit] + digits
    return digits


def mint(kind: str = "live") -> Key:
    """A new random key."""
    identifier, secret = (
        "".join(secrets.choice(ALPHABET) for _ in range(n)) for n in (12, 43)
    )
    body = f"ef_{kind}_{identifier}_{secret}"
    return Key(identifier, secret, f"{body}_{_checksum(body)}")


def parse(text: str) -> Key | None:
    """The key in `text`; None where its form or checksum is wrong.

    It need not have been issued.
    """
    shape = SHAPE.fullmatch(text)
    if shape is None or not hmac.compare_digest(_checksum(text[:-7]), shape[4]):
        return None
    return Key(shape[2], shape[3], text)


def digest(pepper: bytes, secret: str) -> str:
    """What is stored of a secret: HMAC-SHA256 under the pepper, as hex."""
    return hmac.new(pepper, secret.encode(), hashlib.sha256).hexdigest()
