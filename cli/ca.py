"""The interception CA: make it, show it, export its certificate.

An EC P-256 key and certificate in one 0600 file, under the name that mitmproxy looks
for. Clients get the certificate alone.
"""

import datetime as dt
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cli.errors import BAD_CONFIGURATION, CommandError
from cli.output import Output, emit
from cli.settings import UpSettings

CA_FILE, PUBLIC_FILE = "mitmproxy-ca.pem", "earthflow-ca.pem"
# Two years for the CA, which every client must be given; browsers accept leaves of 398
# days at most.
CA_DAYS, LEAF_DAYS = 730, 90
BACKDATE = dt.timedelta(hours=1)  # clocks differ

app = typer.Typer(help="The CA that opens the TLS of AI hosts.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA: its key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key, unencrypted."""
        return key_pem(self.key)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as unencrypted PKCS #8."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def make_authority(name: str, days: int = CA_DAYS) -> Authority:
    """A new self-signed CA that may sign leaves only."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Earthflow"),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        _dated(days)
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


def issue(
    authority: Authority,
    names: list[str],
    days: int = LEAF_DAYS,
    *,
    client: bool = False,
) -> tuple[bytes, bytes]:
    """A certificate of a server with these host names or addresses, or of a client:

    (chain PEM, key PEM).
    """
    usage = (
        ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
    )
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = authority.certificate.extensions.get_extension_for_class(
        x509.SubjectKeyIdentifier
    ).value
    certificate = (
        _dated(days)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in names]),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
        .sign(authority.key, hashes.SHA256())
    )
    return certificate.public_bytes(
        serialization.Encoding.PEM
    ) + authority.pem, key_pem(key)


def _dated(days: int) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - BACKDATE).not_valid_after(
        now + dt.timedelta(days=days)
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def write_authority(folder: Path) -> x509.Certificate:
    """Write a new CA into a folder, in place of any other."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = make_authority("Earthflow interception CA")
    temporary = folder / f"{CA_FILE}.new"
    with open(
        os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb"
    ) as file:
        file.write(authority.key_pem + authority.pem)
    (folder / PUBLIC_FILE).write_bytes(authority.pem)
    temporary.rename(folder / CA_FILE)
    return authority.certificate


def ensure_authority(folder: Path) -> bool:
    """Make a CA where there is none; whether it was made.

    For development only: elsewhere `earthflow ca init` is a deliberate act.
    """
    if (folder / CA_FILE).exists():
        return False
    write_authority(folder)
    return True


def public_certificate(folder: Path) -> x509.Certificate:
    """The CA's certificate. Raises CommandError."""
    try:
        return x509.load_pem_x509_certificate((folder / CA_FILE).read_bytes())
    except FileNotFoundError:
        raise CommandError(
            f"There is no CA in {folder}. Make one with: earthflow ca init",
            BAD_CONFIGURATION,
        ) from None
    except (OSError, ValueError) as error:
        raise CommandError(
            f"The CA in {folder} cannot be read: {error}", BAD_CONFIGURATION
        ) from None


def _described(folder: Path, certificate: x509.Certificate) -> dict[str, Any]:
    return {
        "path": str(folder / CA_FILE),
        "subject": certificate.subject.rfc4514_string(),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(":"),
        "not_after": certificate.not_valid_after_utc.isoformat(),
    }


@app.command()
def init(
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Replace the CA; then every client must be given the new one.",
        ),
    ] = False,
    output: Output = "table",
) -> None:
    """Make the interception CA (EC P-256, two years)."""
    folder = UpSettings().state_dir / "ca"
    if (folder / CA_FILE).exists() and not force:
        raise CommandError(
            f"There is a CA in {folder} already. --force replaces it; then every client must be given the new one."
        )
    emit(_described(folder, write_authority(folder)), output)


@app.command()
def show(output: Output = "table") -> None:
    """Show the CA's fingerprint and how long it is valid."""
    folder = UpSettings().state_dir / "ca"
    emit(_described(folder, public_certificate(folder)), output)


@app.command()
def export(
    to: Annotated[
        Path | None,
        typer.Option("--to", help="A file to write; standard output if not given."),
    ] = None,
) -> None:
    """Write the CA's certificate (never its key) as PEM, for clients to trust."""
    pem = public_certificate(UpSettings().state_dir / "ca").public_bytes(
        serialization.Encoding.PEM
    )
    if to is None:
        typer.echo(pem.decode(), nl=False)
    else:
        to.write_bytes(pem)
        typer.echo(f"Wrote {to}.", err=True)
