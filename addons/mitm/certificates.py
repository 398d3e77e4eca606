"""Certificates: the operator's own on the port, leaves of the interception CA inside tunnels, and the roots for upstreams."""

import datetime as dt
import logging
import stat
import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from mitmproxy import certs, tls
from mitmproxy.addons import tlsconfig
from mitmproxy.net import tls as net_tls
from mitmproxy.proxy.layers import modes
from OpenSSL import SSL

from addons.settings import ProxySettings

logger = logging.getLogger("earthflow.tls")

CA_FILE = (
    "mitmproxy-ca.pem"  # key and certificate, under the name that mitmproxy looks for
)
# Days before its end from which on each start warns: a month is enough to roll out a
# new CA.
WARN_DAYS = 30
MAX_LEAVES = 10_000  # some 4 KB each
# for which a leaf is used again; it is valid for longer
LEAF_SECONDS = 30 * 24 * 3600.0


class BadCertificate(Exception):
    """A certificate or key that cannot be used, and what to do."""


def check_ca(folder: Path, now: dt.datetime | None = None) -> None:
    """Check that the interception CA exists, is whole, private to us, and has not expired.

    Raises BadCertificate.
    """
    path = folder / CA_FILE
    try:
        pem = path.read_bytes()
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        raise BadCertificate(
            f"there is no interception CA at {path}. Make one with: earthflow ca init"
        ) from None
    if mode & 0o077:
        raise BadCertificate(
            f"{path} can be read by others (mode {mode:04o}). Run: chmod 600 {path}"
        )
    try:
        key = load_pem_private_key(pem, None)
        certificate = x509.load_pem_x509_certificate(pem)
        authority = certificate.extensions.get_extension_for_class(
            x509.BasicConstraints
        ).value.ca
    except (ValueError, TypeError, x509.ExtensionNotFound):
        raise BadCertificate(
            f"{path} does not hold a CA certificate and its key. Make a new one with: earthflow ca init --force"
        ) from None
    if not authority or key.public_key() != certificate.public_key():
        raise BadCertificate(
            f"{path}: the certificate is no CA's, or the key is another one's"
        )
    left = certificate.not_valid_after_utc - (now or dt.datetime.now(dt.UTC))
    if left <= dt.timedelta(0):
        raise BadCertificate(
            "the interception CA has expired. Make a new one with: earthflow ca init --force"
        )
    if left < dt.timedelta(days=WARN_DAYS):
        logger.warning(
            "the interception CA expires in %d days; make a new one with: earthflow ca init --force",
            left.days,
        )


def upstream_roots(settings: ProxySettings) -> str | None:
    """Write the public roots and the operator's own into one file, and give its path.

    None where the operator has none of their own. Raises BadCertificate.
    """
    extra = settings.upstream_ca
    if extra is None:
        return None
    try:
        own = extra.read_bytes()
        x509.load_pem_x509_certificates(own)
    except (OSError, ValueError):
        raise BadCertificate(
            f"EARTHFLOW_UPSTREAM_CA: {extra} holds no PEM certificates"
        ) from None
    path = settings.state_dir / "upstream-roots.pem"
    path.write_bytes(Path(certifi.where()).read_bytes() + b"\n" + own)
    return str(path)


class _Issuer:
    """The CA as `certs.dummy_cert` uses it, but with the public key that leaves get."""

    def __init__(self, ca: x509.Certificate, leaf_key: ec.EllipticCurvePublicKey):
        self.subject = ca.subject
        self.extensions = ca.extensions
        self._leaf_key = leaf_key

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._leaf_key


class Leaves(certs.CertStore):
    """Leaf certificates with this process's own EC key, looked up in constant time.

    The least recently used one is dropped first.
    """

    def __init__(self, ca: certs.CertStore):
        super().__init__(
            ca.default_privatekey,
            ca.default_ca,
            ca.default_chain_file,
            ca.default_crl,
            ca.dhparams,
        )
        self._key: Any = ec.generate_private_key(ec.SECP256R1())
        self._issuer: Any = _Issuer(
            ca.default_ca.to_cryptography(), self._key.public_key()
        )
        self._leaves: OrderedDict[
            tuple[object, ...], tuple[float, certs.CertStoreEntry]
        ] = OrderedDict()

    def get_cert(
        self,
        commonname: str | None,
        sans: Iterable[x509.GeneralName],
        organization: str | None = None,
        crl_url: str | None = None,
    ) -> certs.CertStoreEntry:
        names = tuple(sans)
        key = (commonname, names, organization)
        made, entry = self._leaves.pop(key, (0.0, None))
        now = time.monotonic()
        if entry is None or now - made > LEAF_SECONDS:
            leaf = certs.dummy_cert(
                self.default_privatekey, self._issuer, commonname, names, organization
            )
            made = now
            entry = certs.CertStoreEntry(
                leaf, self._key, self.default_chain_file, self.default_chain_certs
            )
        self._leaves[key] = (made, entry)
        if len(self._leaves) > MAX_LEAVES:
            self._leaves.popitem(last=False)
        return entry


class InnerTLS(tlsconfig.TlsConfig):
    """mitmproxy's TLS addon with `Leaves`."""

    name = "tlsconfig"
    # mitmproxy would answer requests for its revocation list here, at every host. Our leaves
    # name no such list.
    request: Any = None

    def configure(self, updated: set[str]) -> None:
        super().configure(updated)  # type: ignore[no-untyped-call]
        give_leaves(self)


def give_leaves(config: tlsconfig.TlsConfig) -> None:
    """Have mitmproxy's TLS addon take its certificates from `Leaves`."""
    if config.certstore is not None and not isinstance(config.certstore, Leaves):
        config.certstore = Leaves(config.certstore)


class OuterTLS:
    """The operator's certificate on the port itself, and the CA of its clients' certificates.

    Built before serving, so that what is wrong is reported at the start.
    """

    name = "earthflow_outer_tls"

    def __init__(self, certificate: Path, key: Path, clients: Path | None = None):
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(net_tls.DEFAULT_OPTIONS)
        for path in (certificate, key, *([clients] if clients else ())):
            if not path.is_file():
                raise BadCertificate(
                    f"there is no file {path}; see TLS_CERT_PATH, TLS_KEY_PATH and TLS_CA_PATH"
                )
        try:
            context.use_certificate_chain_file(str(certificate))
            context.use_privatekey_file(str(key))
            context.check_privatekey()
        except SSL.Error:
            raise BadCertificate(
                f"{certificate} and {key} are not a PEM certificate chain and its key"
            ) from None
        if clients is not None:
            try:
                context.load_verify_locations(str(clients))
                context.load_client_ca(str(clients).encode())
            except SSL.Error:
                raise BadCertificate(
                    f"TLS_CA_PATH: {clients} holds no PEM certificates"
                ) from None
            context.set_verify(
                SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _as_openssl_says
            )
        context.set_session_id(b"earthflow")
        context.set_alpn_select_callback(_http1_only)
        self._context = context

    def tls_start_client(self, data: tls.TlsData) -> None:
        """Use our context for the port itself; inside tunnels mitmproxy takes a leaf."""
        if is_outer(data):
            data.ssl_conn = SSL.Connection(self._context)
            data.ssl_conn.set_accept_state()


def is_outer(data: tls.TlsData) -> bool:
    """Whether a handshake is with the proxy itself, not with an AI host inside a tunnel."""
    layers = data.context.layers
    return len(layers) == 2 and isinstance(layers[0], modes.HttpProxy)


def _as_openssl_says(
    connection: SSL.Connection, certificate: Any, error: int, depth: int, ok: int
) -> bool:
    return bool(ok)


def _http1_only(connection: SSL.Connection, offers: list[bytes]) -> Any:
    """The port itself speaks HTTP/1."""
    return b"http/1.1" if b"http/1.1" in offers else SSL.NO_OVERLAPPING_PROTOCOLS
