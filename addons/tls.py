"""Certificates: the operator's on the outer layer only, the interception CA inside, the roots that upstreams are checked against."""

import datetime as dt
import logging
import stat
from pathlib import Path
from typing import Any

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from mitmproxy import tls
from mitmproxy.net import tls as net_tls
from mitmproxy.proxy.layers import modes
from OpenSSL import SSL

logger = logging.getLogger("earthflow.tls")

CA_FILE = "mitmproxy-ca.pem"  # key and certificate, under the name that mitmproxy looks for
WARN_DAYS = 30


class BadCertificate(Exception):
    """A certificate or key that cannot be used, and what to do."""


def check_ca(folder: Path, now: dt.datetime | None = None) -> None:
    """The interception CA is there, whole, ours alone to read, and in its time. Raises BadCertificate."""
    path = folder / CA_FILE
    try:
        pem = path.read_bytes()
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        raise BadCertificate(f"there is no interception CA at {path}. Make one with: earthflow ca init") from None
    if mode & 0o077:
        raise BadCertificate(f"{path} can be read by others (mode {mode:04o}). Run: chmod 600 {path}")
    try:
        key = load_pem_private_key(pem, None)
        certificate = x509.load_pem_x509_certificate(pem)
        authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, TypeError, x509.ExtensionNotFound):
        raise BadCertificate(f"{path} does not hold a CA certificate and its key. Make a new one with: earthflow ca init --force") from None
    if not authority or key.public_key() != certificate.public_key():
        raise BadCertificate(f"{path}: the certificate is no CA's, or the key is another one's")
    left = certificate.not_valid_after_utc - (now or dt.datetime.now(dt.UTC))
    if left <= dt.timedelta(0):
        raise BadCertificate("the interception CA has expired. Make a new one with: earthflow ca init --force")
    if left < dt.timedelta(days=WARN_DAYS):
        logger.warning("the interception CA expires in %d days; make a new one with: earthflow ca init --force", left.days)


def upstream_roots(extra: Path, into: Path) -> Path:
    """A file of the public roots and the operator's own. Raises BadCertificate."""
    try:
        own = extra.read_bytes()
        x509.load_pem_x509_certificates(own)
    except (OSError, ValueError):
        raise BadCertificate(f"EARTHFLOW_UPSTREAM_CA: {extra} holds no PEM certificates") from None
    into.write_bytes(Path(certifi.where()).read_bytes() + b"\n" + own)
    return into


class OuterTLS:
    """The operator's certificate on connections to the proxy itself. Built before serving: what is wrong is said at start."""

    name = "earthflow_outer_tls"

    def __init__(self, certificate: Path, key: Path):
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(net_tls.DEFAULT_OPTIONS)
        for path in (certificate, key):
            if not path.is_file():
                raise BadCertificate(f"there is no file {path}; see TLS_CERT_PATH and TLS_KEY_PATH")
        try:
            context.use_certificate_chain_file(str(certificate))
            context.use_privatekey_file(str(key))
            context.check_privatekey()
        except SSL.Error:
            raise BadCertificate(f"{certificate} and {key} are not a PEM certificate chain and its key") from None
        context.set_session_id(b"earthflow")
        context.set_alpn_select_callback(_http1_only)
        self._context = context

    def tls_start_client(self, data: tls.TlsData) -> None:
        """Ours on the outer layer; mitmproxy's own choice, a leaf of the interception CA, on inner ones."""
        layers = data.context.layers
        if len(layers) == 2 and isinstance(layers[0], modes.HttpProxy):
            data.ssl_conn = SSL.Connection(self._context)
            data.ssl_conn.set_accept_state()


def _http1_only(connection: SSL.Connection, offers: list[bytes]) -> Any:
    """CONNECT is spoken over HTTP/1 here."""
    return b"http/1.1" if b"http/1.1" in offers else SSL.NO_OVERLAPPING_PROTOCOLS
