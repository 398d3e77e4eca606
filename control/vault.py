"""The writing half of contract/unwrap.py: wraps secrets for storage, under the data key
that the master key opens.
"""

import base64
import os

from cryptography.fernet import Fernet

from contract.proof import record_key
from contract.unwrap import derive, proxy_token, unwrap


class Vault:
    """One master key, and the data key that it opens.

    `wrapped` is the data key, for proxies with this master key.
    """

    def __init__(self, master: str, wrapped: str):
        """Raises WrongMasterKey."""
        self.master, self.wrapped = master, wrapped
        self.proxy_token = proxy_token(master)
        self._data_key = unwrap(master, wrapped).decode()
        self._fernet = Fernet(self._data_key)
        self.record_key = record_key(self._data_key)

    def wrap(self, secret: bytes) -> str:
        """A secret as it may be stored and sent."""
        return self._fernet.encrypt(secret).decode()

    def open(self, wrapped: str) -> bytes:
        """Inverse of `wrap`. Raises WrongMasterKey."""
        return unwrap(self._data_key, wrapped)

    def seal(self, purpose: str, content: bytes) -> str:
        """Content that somebody else keeps, such as a browser: under a key of this purpose alone. What is wrapped for the database, whose
        plaintext may be anybody's, is none of it.
        """
        return Fernet(self._key_of(purpose)).encrypt(content).decode()

    def unseal(self, purpose: str, sealed: str) -> bytes:
        """Inverse of `seal`. Raises WrongMasterKey."""
        return unwrap(self._key_of(purpose), sealed)

    def new_secret(self) -> str:
        """32 random bytes, wrapped."""
        return self.wrap(os.urandom(32))

    def _key_of(self, purpose: str) -> str:
        derived = derive(self._data_key, f"sealed {purpose}")
        return base64.urlsafe_b64encode(derived).decode()

    def under(self, master: str) -> str:
        """The data key under another master key."""
        return Fernet(master).encrypt(self._data_key.encode()).decode()


def new_vault(master: str) -> Vault:
    """A vault with a new data key."""
    return Vault(master, Fernet(master).encrypt(Fernet.generate_key()).decode())
