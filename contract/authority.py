"""The certificates of interception.

    root     what clients trust; its key stays with control, sealed, or offline
    issuer   below it, for a year; its key is with the proxies. It may sign for AI hosts only
    leaf     made by a proxy for one host

While a root is replaced both kinds of clients are served: those that trust only the old one
and those that trust only the new one. The old root certifies the new one (`certify_root`), and
that certificate is sent with the chain. Roots of early installations may sign leaves only; a new
root certifies their key instead (`sign_issuer`), which signs until the end.
"""

import datetime as dt
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from contract.probe import PROBE_HOST

# A root must be given to every client, so it lasts; an issuer is renewed without them. Browsers
# accept leaves of 398 days at most.
ROOT_DAYS, ISSUER_DAYS, LEAF_DAYS = 3650, 365, 90
BACKDATE = dt.timedelta(hours=1)  # clocks differ
ROOT_NAME, ISSUER_NAME = "Earthflow root CA", "Earthflow interception CA"
# What a proxy shows a certificate for besides AI hosts: itself, to who is on its machine, and
# the doctor's probe.
OWN_HOSTS = ("localhost", "127.0.0.1", PROBE_HOST)

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA: its key and its certificate."""

    key: Key
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return certificate_pem(self.certificate)

    @property
    def key_pem(self) -> bytes:
        """The key, unencrypted."""
        return key_pem(self.key)


def new_key() -> Key:
    """An EC P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """A certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: Key) -> bytes:
    """A private key as unencrypted PKCS #8."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def read_authority(pem: bytes) -> Authority:
    """The key and the first certificate of a PEM file. Raises ValueError."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (TypeError, UnsupportedAlgorithm):
        raise ValueError("the key is encrypted, or of another kind") from None
    certificate = x509.load_pem_x509_certificate(pem)
    if not isinstance(key, Key) or not is_authority(certificate):
        raise ValueError("there is no EC key, or the certificate is no CA's")
    if key.public_key() != certificate.public_key():
        raise ValueError("the key is another one's")
    return Authority(key, certificate)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate, in hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may sign certificates."""
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def is_root(certificate: x509.Certificate) -> bool:
    """Whether it is signed by itself."""
    return certificate.issuer == certificate.subject


def may_be_root(certificate: x509.Certificate) -> bool:
    """Whether we can work with it as a root: its key is EC, it signed itself, it has a name
    for its key.
    """
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    named = _extension(certificate, x509.SubjectKeyIdentifier) is not None
    own = isinstance(key, ec.EllipticCurvePublicKey) and signed_by(certificate, certificate)  # fmt: skip
    return named and own


def signed_by(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    """Whether a certificate was signed with another one's key."""
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def is_issuer(certificate: x509.Certificate) -> bool:
    """Whether it is valid now, and bound to some hosts."""
    constraints = certificate.extensions
    try:
        constraints.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return False
    now = dt.datetime.now(dt.UTC)
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


def signs_leaves_only(root: x509.Certificate) -> bool:
    """Whether no other CA may stand below it, as below those of early installations."""
    constraints = _extension(root, x509.BasicConstraints)
    return constraints is not None and constraints.path_length == 0


def make_root(
    name: str = ROOT_NAME, days: int = ROOT_DAYS, *, leaves_only: bool = False
) -> Authority:
    """A new root."""
    key = new_key()
    subject = _named(name)
    builder = _authority(days, subject, key.public_key(), 0 if leaves_only else None)
    return Authority(key, builder.issuer_name(subject).sign(key, hashes.SHA256()))


def certify_root(old: Authority, new: x509.Certificate) -> x509.Certificate:
    """The new root's key and name, certified by the old root: for clients that trust only
    that one.
    """
    key = new.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    end = min(old.certificate.not_valid_after_utc, new.not_valid_after_utc)
    builder = _authority(end, new.subject, key, None)
    return _signed(builder, old)


def ask(key: Key, subject: x509.Name | None = None) -> bytes:
    """A request (PKCS #10, PEM) to certify an issuer's key."""
    builder = x509.CertificateSigningRequestBuilder()
    request = builder.subject_name(subject or _named(ISSUER_NAME))
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def sign_issuer(root: Authority, request: bytes, hosts: Iterable[str]) -> bytes:
    """A certificate (PEM) for the key in a request, of a CA that may sign for these hosts
    only. Raises ValueError.
    """
    try:
        asked = x509.load_pem_x509_csr(request)
        key = asked.public_key()
        valid = asked.is_signature_valid
    except UnsupportedAlgorithm:
        raise ValueError("its key is of another kind") from None
    if not valid or not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("it is not signed by its own EC key")
    if asked.subject == root.certificate.subject:
        raise ValueError("its subject is the root's")
    end = dt.datetime.now(dt.UTC) + dt.timedelta(days=ISSUER_DAYS)
    end = min(end, root.certificate.not_valid_after_utc)
    builder = _authority(end, asked.subject, key, 0)
    builder = builder.add_extension(_only_for(hosts), critical=True)
    return certificate_pem(_signed(builder, root))


def not_covered(issuer: x509.Certificate, hosts: Iterable[str]) -> list[str]:
    """The domains and addresses of hosts that an issuer may not sign for."""
    constraints = _extension(issuer, x509.NameConstraints)
    if constraints is None:
        return []
    may = [name.value for name in constraints.permitted_subtrees or ()]
    return [
        str(name.value)
        for name in _subtrees(hosts)
        if not any(_lies_in(name.value, one) for one in may)
    ]


def issue(
    authority: Authority,
    names: Sequence[str],
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
    key = new_key()
    leaf = x509.BasicConstraints(ca=False, path_length=None)
    alternatives = x509.SubjectAlternativeName(list(map(_general_name, names)))
    builder = (
        _dated(days)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]))
        .public_key(key.public_key())
        .add_extension(leaf, critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(alternatives, critical=False)
    )
    chain = certificate_pem(_signed(builder, authority)) + authority.pem
    return chain, key_pem(key)


def _signed(builder: x509.CertificateBuilder, by: Authority) -> x509.Certificate:
    """What another authority signs, with whose key it is."""
    identifier = _extension(by.certificate, x509.SubjectKeyIdentifier)
    assert identifier is not None
    named = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    builder = builder.issuer_name(by.certificate.subject)
    return builder.add_extension(named, critical=False).sign(by.key, hashes.SHA256())


def _authority(
    end: int | dt.datetime,
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    below: int | None,
) -> x509.CertificateBuilder:
    """A CA's certificate; `below` is how many CAs may stand below it."""
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    identifier = x509.SubjectKeyIdentifier.from_public_key(key)
    return (
        _dated(end)
        .subject_name(subject)
        .public_key(key)
        .add_extension(x509.BasicConstraints(True, below), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
    )


def _dated(end: int | dt.datetime) -> x509.CertificateBuilder:
    """Valid from now until a time, or for a number of days."""
    now = dt.datetime.now(dt.UTC)
    if isinstance(end, int):
        end = now + dt.timedelta(days=end)
    builder = x509.CertificateBuilder().serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - BACKDATE).not_valid_after(end)


def _named(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Earthflow"),
        ]
    )


def _extension[Kind: x509.ExtensionType](
    certificate: x509.Certificate, kind: type[Kind]
) -> Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _only_for(hosts: Iterable[str]) -> x509.NameConstraints:
    """The names that an issuer may sign for. Having an address, they exclude all others."""
    return x509.NameConstraints(_subtrees(hosts), None)


def _subtrees(hosts: Iterable[str]) -> list[x509.GeneralName]:
    """Host patterns as names that may be signed for: each host, or the domain that stands
    behind its last `*`, since no more can be said of a pattern (RFC 5280, 4.2.1.10).
    """
    addresses: dict[ipaddress.IPv4Network | ipaddress.IPv6Network, None] = {}
    domains: dict[str, None] = {}
    for host in (*hosts, *OWN_HOSTS):
        address = _address(host)
        if address is None:
            domains[_domain(host)] = None
        else:
            addresses[address] = None
    widest = [
        domain
        for domain in domains
        if not any(domain.endswith(f".{other}") for other in domains)
    ]
    return [*map(x509.DNSName, widest), *map(x509.IPAddress, addresses)]


def _address(host: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(ipaddress.ip_address(host))
    except ValueError:
        return None


def _domain(host: str) -> str:
    """A host, or the domain behind the last `*` of a pattern; `*-aiplatform.googleapis.com`:
    what a star stands in is no domain. Raises ValueError where that is a whole top level.
    """
    _, star, behind = host.rpartition("*")
    domain = behind.partition(".")[2] if star else host
    labels = domain.split(".")
    if not all(labels) or (len(labels) < 2 and domain not in OWN_HOSTS):
        raise ValueError(f"`{host}` would need a CA for all of `{domain}`")
    return domain


def _lies_in(name: object, subtree: object) -> bool:
    if isinstance(name, str) and isinstance(subtree, str):
        return name == subtree or name.endswith(f".{subtree}")
    return name == subtree


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
