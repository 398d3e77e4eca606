"""The files of the interception CA in a state folder.

mitmproxy-ca.pem   what the proxy signs leaves with: the issuer's key, its certificate,
                   and what stands between it and the roots (0600)
earthflow-ca.pem   the roots that clients trust
root.pem           the root's key, where control does not have it (0600)
request.pem        an issuer that is to be signed where the root is
request-key.pem    its key, which stays here (0600)
"""

import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509

from cli.errors import BAD_CONFIGURATION, CommandError
from contract.authority import (
    Authority,
    Key,
    ask,
    certificate_pem,
    is_issuer,
    is_root,
    key_pem,
    make_root,
    new_key,
    read_authority,
    sign_issuer,
    signed_by,
)
from contract.providers import ai_hosts

CA_FILE, PUBLIC_FILE, ROOT_FILE = "mitmproxy-ca.pem", "earthflow-ca.pem", "root.pem"
REQUEST_FILE, REQUEST_KEY = "request.pem", "request-key.pem"


def write_ca(folder: Path, key: Key, chain: bytes, roots: bytes) -> None:
    """Write an issuer with its key, and the roots that clients trust.

    The proxy reads the first alone, and finds either the old one or the new one whole.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(folder / PUBLIC_FILE, roots, 0o644)
    write_whole(folder / CA_FILE, key_pem(key) + chain, 0o600)


def write_local(folder: Path, hosts: Sequence[str] = ()) -> None:
    """Write a new CA, with the root's key beside it, in place of any other."""
    root, key = make_root(), new_key()
    issuer = sign_issuer(root, ask(key), hosts or ai_hosts())
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(folder / ROOT_FILE, root.key_pem + root.pem, 0o600)
    write_ca(folder, key, issuer, root.pem)


def local_root(folder: Path) -> Authority | None:
    """The root whose key is here, if it is the one in use. Raises CommandError."""
    if not (folder / ROOT_FILE).exists():
        return None
    root = _read(folder / ROOT_FILE)
    return root if signed_by(issuer(folder).certificate, root.certificate) else None


def issuer(folder: Path) -> Authority:
    """What signs leaves. Raises CommandError."""
    if not (folder / CA_FILE).exists():
        raise CommandError(
            f"There is no CA in {folder}. Make one with: earthflow ca init",
            BAD_CONFIGURATION,
        )
    return _read(folder / CA_FILE)


def roots(folder: Path) -> list[x509.Certificate]:
    """What clients trust. Raises CommandError."""
    signer = issuer(folder).certificate
    if is_root(signer):
        return [signer]
    try:
        return x509.load_pem_x509_certificates((folder / PUBLIC_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise CommandError(
            f"{folder / PUBLIC_FILE} cannot be read: {error}", BAD_CONFIGURATION
        ) from None


def write_request(folder: Path, key: Key, request: bytes) -> Path:
    """Keep a request, and its key, until it is signed; the request's file."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(folder / REQUEST_KEY, key_pem(key), 0o600)
    write_whole(folder / REQUEST_FILE, request, 0o644)
    return folder / REQUEST_FILE


def take_signed(
    folder: Path, chain: bytes, trusted: Sequence[x509.Certificate]
) -> None:
    """Use what was signed for the request that is kept. Raises CommandError where it was
    signed for another one, or by a root that clients do not trust.
    """
    try:
        signed = read_authority((folder / REQUEST_KEY).read_bytes() + chain)
    except (OSError, ValueError):
        raise CommandError(
            f"This is not the certificate of the request in {folder / REQUEST_FILE}."
        ) from None
    if not _leads_to(x509.load_pem_x509_certificates(chain), trusted):
        raise CommandError(
            "This certificate was signed by another root than those in use (earthflow ca show). "
            "Sign the request with the root that clients trust."
        )
    if not is_issuer(signed.certificate):
        raise CommandError(
            "This certificate has expired, or may sign for any host. Sign the request with: earthflow ca sign"
        )
    write_ca(folder, signed.key, chain, b"".join(map(certificate_pem, trusted)))
    (folder / REQUEST_FILE).unlink(missing_ok=True)
    (folder / REQUEST_KEY).unlink()


def _leads_to(
    chain: Sequence[x509.Certificate], trusted: Sequence[x509.Certificate]
) -> bool:
    """Whether each was signed by the next, and the last by one that is trusted."""
    follows = all(map(signed_by, chain, chain[1:]))
    return follows and any(signed_by(chain[-1], root) for root in trusted)


def _read(path: Path) -> Authority:
    try:
        return read_authority(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CommandError(
            f"The CA in {path} cannot be read: {error}", BAD_CONFIGURATION
        ) from None


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Write a file whole, or not at all."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    opened = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(opened, "wb") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask is
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
