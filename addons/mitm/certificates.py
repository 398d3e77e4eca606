"""Certificates: the operator's own on the port, leaves of the interception CA inside tunnels, and the roots for upstreams."""

import datetime as dt
import os
import stat
import sys
import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any, NamedTuple

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from mitmproxy import certs, ctx, tls
from mitmproxy.addons import tlsconfig
from mitmproxy.net import tls as net_tls
from mitmproxy.proxy.layers import modes
from OpenSSL import SSL

from addons.settings import ProxySettings
from contract.authority import read_authority, signed_by

# The issuer's key and chain, under the name that mitmproxy looks for; and what clients trust.
CA_FILE, ROOTS_FILE = "mitmproxy-ca.pem", "earthflow-ca.pem"
TRIES = 3  # to read a CA file that is replaced meanwhile
MAX_LEAVES = 10_000  # some 4 KB each
# for which a leaf is used again; it is valid for longer
LEAF_SECONDS = 30 * 24 * 3600.0


class BadCertificate(Exception):
    """A certificate or key that cannot be used, and what to do."""


class Signer(NamedTuple):
    """What leaves are signed with, and when it or what stands above it ends."""

    issuer: x509.Certificate
    until: dt.datetime


def read_ca(folder: Path, now: dt.datetime | None = None) -> Signer:
    """Read the interception CA: it exists, is whole, private to us, and has not expired.

    Raises BadCertificate.
    """
    path = folder / CA_FILE
    try:
        pem = path.read_bytes()
        found = path.stat()
    except OSError:
        raise BadCertificate(
            f"there is no interception CA at {path}. Make one with: earthflow ca init"
        ) from None
    if found.st_mode & _for_others(found):
        mode = stat.S_IMODE(found.st_mode)
        raise BadCertificate(
            f"{path} can be read by others (mode {mode:04o}). Run: chmod 600 {path}"
        )
    try:
        issuer = read_authority(pem).certificate
    except ValueError as error:
        raise BadCertificate(
            f"{path} does not hold a CA certificate and its key ({error}). Make it again with: earthflow ca renew"
        ) from None
    until = min(one.not_valid_after_utc for one in (issuer, *_root_of(folder, issuer)))
    if until <= (now or dt.datetime.now(dt.UTC)):
        raise BadCertificate(
            "the interception CA has expired. Renew it with: earthflow ca renew"
        )
    return Signer(issuer, until)


def _for_others(found: os.stat_result) -> int:
    """The bits that a private file has not. What root put there for our group, as Kubernetes
    mounts a Secret, that group may read.
    """
    ours = found.st_uid == os.geteuid()
    return 0o077 if ours or found.st_uid else 0o037


def _root_of(folder: Path, issuer: x509.Certificate) -> list[x509.Certificate]:
    """The root that signed an issuer, where its certificate is here. Others in the file, such
    as one that is being replaced, may end before.
    """
    try:
        roots = x509.load_pem_x509_certificates((folder / ROOTS_FILE).read_bytes())
    except (OSError, ValueError):
        return []
    return [root for root in roots if signed_by(issuer, root)]


def use_ca(config: tlsconfig.TlsConfig, folder: Path) -> None:
    """Have mitmproxy's TLS addon make leaves by the CA that is in its folder now. Raises BadCertificate."""
    config.certstore = Leaves(_store_of(folder))
    # Contexts are kept by the path of the chain, and those of the CA before are not used again.
    net_tls.create_client_proxy_context.cache_clear()


def _store_of(folder: Path) -> certs.CertStore:
    """The CA, of which mitmproxy reads the chain after the key: both are of one file. Raises BadCertificate."""
    for _ in range(TRIES):
        store = certs.CertStore.from_store(folder, "mitmproxy", 2048)
        if store.default_chain_certs[0] == store.default_ca:
            return store
    raise BadCertificate(f"{folder / CA_FILE} is written again and again")


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
        """The chain, which is what stands between a leaf and the roots, is kept in a file of our own: mitmproxy reads it
        for a new client, when another CA may be in its place already.
        """
        chain = b"".join(one.to_pem() for one in ca.default_chain_certs)
        self._chain, path = _kept(chain)
        super().__init__(
            ca.default_privatekey,
            ca.default_ca,
            path,
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


def _kept(chain: bytes) -> tuple[IO[bytes], Path]:
    """A file that is there as long as it is open, and its path: in memory, since a container may have no place for another."""
    if sys.platform == "linux":
        file: IO[bytes] = os.fdopen(os.memfd_create("earthflow-chain"), "wb")
        path = Path(f"/proc/self/fd/{file.fileno()}")
    else:
        file = NamedTemporaryFile(prefix="earthflow-chain-", suffix=".pem")  # noqa: SIM115
        path = Path(file.name)
    file.write(chain)
    file.flush()
    return file, path


class InnerTLS(tlsconfig.TlsConfig):
    """mitmproxy's TLS addon with `Leaves`."""

    name = "tlsconfig"
    # mitmproxy would answer requests for its revocation list here, at every host. Our leaves
    # name no such list.
    request: Any = None

    def configure(self, updated: set[str]) -> None:
        super().configure(updated)  # type: ignore[no-untyped-call]
        _take_leaves(self)


def give_leaves(config: Any) -> None:
    """Have mitmproxy's own TLS addon take its certificates from `Leaves`, whenever it is
    configured; it is once more when all addons run.
    """
    configure = config.configure

    def with_leaves(updated: set[str]) -> None:
        configure(updated)
        _take_leaves(config)

    config.configure = with_leaves
    _take_leaves(config)


def _take_leaves(config: tlsconfig.TlsConfig) -> None:
    if config.certstore is not None and not isinstance(config.certstore, Leaves):
        use_ca(config, Path(ctx.options.confdir))


class OuterTLS:
    """The operator's certificate on the port itself, and the CA of its clients' certificates.

    Built before serving, so that what is wrong is reported at the start.
    """

    name = "earthflow_outer_tls"

    def __init__(self, certificate: Path, key: Path, clients: Path | None = None):
        self._certificate, self._key, self._clients = certificate, key, clients
        self.read_files()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that it is made of."""
        return (self._certificate, self._key, *filter(None, (self._clients,)))

    def read_files(self) -> None:
        """Use the files as they are now, for new connections. Raises BadCertificate, and
        continues with what it has.
        """
        for path in self.files:
            if not path.is_file():
                raise BadCertificate(
                    f"there is no file {path}, or it cannot be read; see TLS_CERT_PATH, TLS_KEY_PATH and TLS_CA_PATH"
                )
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(net_tls.DEFAULT_OPTIONS)
        until = self._use_certificate(context)
        if self._clients is not None:
            _ask_clients(context, self._clients)
        context.set_session_id(b"earthflow")
        context.set_alpn_select_callback(_http1_only)
        self._context, self.until = context, until

    def _use_certificate(self, context: SSL.Context) -> dt.datetime:
        certificate, key = self._certificate, self._key
        try:
            context.use_certificate_chain_file(str(certificate))
            context.use_privatekey_file(str(key))
            context.check_privatekey()
            until = x509.load_pem_x509_certificate(
                certificate.read_bytes()
            ).not_valid_after_utc
        except (SSL.Error, OSError, ValueError):
            raise BadCertificate(
                f"{certificate} and {key} are not a PEM certificate chain and its key, or cannot be read"
            ) from None
        if until <= dt.datetime.now(dt.UTC):
            raise BadCertificate(f"the certificate in {certificate} expired on {until:%Y-%m-%d}")  # fmt: skip
        return until

    def tls_start_client(self, data: tls.TlsData) -> None:
        """Use our context for the port itself; inside tunnels mitmproxy takes a leaf."""
        if is_outer(data):
            data.ssl_conn = SSL.Connection(self._context)
            data.ssl_conn.set_accept_state()


def _ask_clients(context: SSL.Context, clients: Path) -> None:
    """Have clients show a certificate of a CA in this file."""
    try:
        context.load_verify_locations(str(clients))
        context.load_client_ca(str(clients).encode())
    except SSL.Error:
        raise BadCertificate(
            f"TLS_CA_PATH: {clients} holds no PEM certificates"
        ) from None
    required = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
    context.set_verify(required, _as_openssl_says)


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
