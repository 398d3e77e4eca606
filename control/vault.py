"""The master key's other half: wrap secrets for storage. Opening is contract/unwrap.py's, since proxies open, too."""

import os

from cryptography.fernet import Fernet


class Vault:
    """Wraps under one master key."""

    def __init__(self, master: str):
        self.master = master
        self._fernet = Fernet(master)

    def wrap(self, secret: bytes) -> str:
        """The secret as it may be stored and sent."""
        return self._fernet.encrypt(secret).decode()

    def new_secret(self) -> str:
        """32 random bytes, wrapped."""
        return self.wrap(os.urandom(32))
