"""What clients trust: our CA alone, and a bundle of the roots that they trusted before,
with our CA.
"""

import hashlib
import os
import ssl
from collections.abc import Sequence
from pathlib import Path

import certifi
from cryptography import x509

from cli import ca_folder
from cli.errors import BAD_CONFIGURATION, CommandError
from contract.authority import certificate_pem

SYSTEM_ROOTS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)


def bundle_path(state: Path) -> Path:
    """Where the bundle is."""
    return state / "client" / "ca-bundle.pem"


def write_trust(
    state: Path, also: Sequence[Path] = (), certificate_file: Path | None = None
) -> tuple[Path, Path]:
    """Write both files; (our CA, the bundle).

    Roots in `also` make a bundle of their own, named by them. The CA's certificate is
    the state folder's, unless it is in a file. Raises CommandError where there is no
    CA.
    """
    bundle = bundle_path(state)
    certificate = bundle.with_name("ca.pem")
    bundle.parent.mkdir(parents=True, exist_ok=True)
    trusted = (
        certificates(certificate_file)
        if certificate_file
        else ca_folder.roots(state / "ca")
    )
    ours = b"".join(map(certificate_pem, trusted))
    own = list(
        dict.fromkeys(
            path.read_bytes()
            for path in also
            if path.is_file() and path.parent != bundle.parent
        )
    )
    if own:
        bundle = bundle.with_stem(
            f"{bundle.stem}-{hashlib.sha256(b''.join(own)).hexdigest()[:12]}"
        )
    for path, content in (
        (certificate, ours),
        (bundle, b"\n".join([_system_roots(), *own, ours])),
    ):
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_bytes(content)
        temporary.replace(path)
    return certificate, bundle


def certificates(path: Path) -> list[x509.Certificate]:
    """The certificates of a PEM file that a user named. Raises CommandError."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        raise CommandError(
            f"{path} holds no PEM certificate. Get the CA with: earthflow ca export",
            BAD_CONFIGURATION,
        ) from None


def _system_roots() -> bytes:
    known = [
        ssl.get_default_verify_paths().openssl_cafile,
        *SYSTEM_ROOTS,
        certifi.where(),
    ]
    return next(Path(path).read_bytes() for path in known if Path(path).is_file())
