"""What a client must trust: our CA alone, and a bundle of every root it trusted before with our CA added."""

import ssl
from collections.abc import Sequence
from pathlib import Path

import certifi
from cryptography.hazmat.primitives.serialization import Encoding

from cli import ca

SYSTEM_ROOTS = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def bundle_path(state: Path) -> Path:
    """Where the bundle is."""
    return state / "client" / "ca-bundle.pem"


def write_trust(state: Path, also: Sequence[Path] = ()) -> tuple[Path, Path]:
    """Write both files, with the roots in `also` merged in; (our CA, the bundle). Raises Trouble where there is no CA."""
    bundle = bundle_path(state)
    certificate = bundle.with_name("ca.pem")
    bundle.parent.mkdir(parents=True, exist_ok=True)
    ours = ca.public_certificate(state / "ca").public_bytes(Encoding.PEM)
    roots = [_system_roots(), *(path.read_bytes() for path in also if path != bundle and path.is_file())]
    for path, content in ((certificate, ours), (bundle, b"\n".join([*dict.fromkeys(roots), ours]))):
        temporary = path.with_suffix(".new")
        temporary.write_bytes(content)
        temporary.replace(path)
    return certificate, bundle


def _system_roots() -> bytes:
    known = [ssl.get_default_verify_paths().openssl_cafile, *SYSTEM_ROOTS, certifi.where()]
    return next(Path(path).read_bytes() for path in known if Path(path).is_file())
