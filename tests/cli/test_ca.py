"""`earthflow ca`: roots, issuers, and clients that trust one root or another."""

import contextlib
import datetime as dt
import json
import socket
import ssl
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.certs import CertStore
from mitmproxy.net import tls as net_tls
from OpenSSL import SSL
from typer.testing import CliRunner

from addons.mitm.certificates import BadCertificate, Leaves, read_ca
from cli import ca, ca_folder
from cli.ca import app
from cli.ca_folder import CA_FILE, PUBLIC_FILE
from cli.errors import CommandError
from contract.authority import (
    Authority,
    ask,
    certificate_pem,
    certify_root,
    is_root,
    issue,
    make_root,
    new_key,
    not_covered,
    read_authority,
    sign_issuer,
)
from contract.providers import ai_hosts

runner = CliRunner()
HOST = "api.openai.com"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EARTHFLOW_STATE_DIR", str(tmp_path))
    return tmp_path


def run(*words: str) -> dict[str, Any]:
    result = runner.invoke(app, [*words, "-o", "json"])
    assert result.exit_code == 0, result.output
    shown: dict[str, Any] = json.loads(result.stdout)
    return shown


def test_a_local_ca_is_a_root_and_an_issuer_that_only_its_owner_can_read(
    state: Path,
) -> None:
    made = run("init", "--local")
    path = state / "ca" / CA_FILE
    assert made["path"] == str(path)
    for name, mode in ((CA_FILE, 0o600), ("root.pem", 0o600), (PUBLIC_FILE, 0o644)):
        assert stat.S_IMODE((state / "ca" / name).stat().st_mode) == mode
    issuer = read_authority(path.read_bytes()).certificate
    assert read_ca(state / "ca").issuer == issuer
    assert not is_root(issuer)
    assert not_covered(issuer, ai_hosts()) == []
    assert b"PRIVATE KEY" not in (state / "ca" / PUBLIC_FILE).read_bytes()


def test_init_does_not_replace_a_ca_unless_told_to() -> None:
    first = run("init", "--local")["sha256"]
    assert isinstance(runner.invoke(app, ["init", "--local"]).exception, CommandError)
    assert run("show")["sha256"] == first
    assert run("init", "--local", "--force")["sha256"] != first


def test_renew_keeps_the_root_that_clients_trust() -> None:
    first, second = run("init", "--local"), run("renew")
    assert first["roots"] == second["roots"]
    assert first["sha256"] != second["sha256"]


def test_export_hands_out_the_root_and_never_a_key() -> None:
    runner.invoke(app, ["init", "--local"])
    pem = runner.invoke(app, ["export"]).stdout
    assert "PRIVATE KEY" not in pem
    assert is_root(x509.load_pem_x509_certificate(pem.encode()))
    ssl.create_default_context(cadata=pem)


def test_show_says_what_to_do_where_there_is_none() -> None:
    result = runner.invoke(app, ["show"])
    assert isinstance(result.exception, CommandError)
    assert "earthflow ca init" in str(result.exception)


@pytest.mark.parametrize(
    "spoil", ["readable", "cut", "another key", "no ca", "expired"]
)
def test_the_proxy_refuses_a_ca_that_is_not_right(state: Path, spoil: str) -> None:
    runner.invoke(app, ["init", "--local"])
    path, now = state / "ca" / CA_FILE, None
    if spoil == "readable":
        path.chmod(0o644)
    elif spoil == "cut":
        path.write_bytes(path.read_bytes()[:300])
    elif spoil == "another key":
        path.write_bytes(make_root("a").key_pem + make_root("b").pem)
    elif spoil == "no ca":
        chain, key = issue(make_root("a"), ["x.example"])
        path.write_bytes(key + chain)
    else:
        now = dt.datetime.now(dt.UTC) + dt.timedelta(days=1000)
    with pytest.raises(BadCertificate):
        read_ca(state / "ca", now)


def test_a_root_that_ended_and_is_not_the_issuers_does_not_count(state: Path) -> None:
    runner.invoke(app, ["init", "--local"])
    public = state / "ca" / PUBLIC_FILE
    public.write_bytes(make_root(days=0).pem + public.read_bytes())
    assert read_ca(state / "ca").until > dt.datetime.now(dt.UTC)


def test_a_roots_file_of_another_time_is_not_used(state: Path) -> None:
    """After `init --force` without it, the root's key that is left is nobody's."""
    runner.invoke(app, ["init", "--local"])
    write(state / "ca", make_root("control's"))
    assert ca_folder.local_root(state / "ca") is None


@pytest.mark.parametrize(
    "host", ["*", "", "*.", "foo*", "api.*", "*com", "*.com", "*-evil.com", "com", ".com", "a..b"]
)  # fmt: skip
def test_no_issuer_is_made_for_a_whole_top_level(host: str) -> None:
    with pytest.raises(ValueError):
        sign_issuer(ROOT, ask(new_key()), [host])


class NoRoots:
    """A control that knows of no root, and must not be asked to make one."""

    def get(self, path: str) -> dict[str, list[object]]:
        assert path == "/v1/ca"
        return {"roots": []}

    def post(self, path: str, body: object) -> None:
        raise AssertionError(path)


def test_a_root_that_cannot_be_replaced_is_left_as_it_is(state: Path) -> None:
    runner.invoke(app, ["init", "--local"])
    control: Any = NoRoots()
    with pytest.raises(CommandError, match="cannot certify a new one"):
        ca._replace_root(control, state / "ca")


def test_a_ca_without_an_issuer_is_not_renewed_but_replaced(state: Path) -> None:
    early = make_root("early", leaves_only=True)
    ca_folder.write_ca(state / "ca", early.key, early.pem, early.pem)
    control: Any = NoRoots()
    with pytest.raises(CommandError, match="earthflow ca renew --root"):
        ca._renew(control, state / "ca", [HOST])


def leaves_of(folder: Path) -> Leaves:
    """The leaves of a proxy that reads its CA now."""
    return Leaves(CertStore.from_store(folder, "mitmproxy", 2048))


def trusts(
    roots: bytes, folder: Path, host: str = HOST, leaves: Leaves | None = None
) -> bool:
    """Whether a client that has these roots alone accepts what the proxy shows."""
    leaves = leaves or leaves_of(folder)
    entry = leaves.get_cert(host, [x509.DNSName(host)])
    net_tls.create_client_proxy_context.cache_clear()
    server = net_tls.create_client_proxy_context(
        method=net_tls.Method.TLS_SERVER_METHOD,
        min_version=net_tls.Version.TLS1_2,
        max_version=net_tls.Version.UNBOUNDED,
        cipher_list=None,
        ecdh_curve=None,
        chain_file=entry.chain_file,
        alpn_select_callback=None,
        request_client_cert=False,
        extra_chain_certs=(),
        dhparams=None,  # type: ignore[arg-type]
    )
    key: Any = entry.privatekey
    client = ssl.create_default_context(cadata=roots.decode())
    ours, theirs = socket.socketpair()

    def serve() -> None:
        connection = SSL.Connection(server, theirs)
        connection.use_certificate(entry.cert.to_cryptography())
        connection.use_privatekey(key)
        connection.set_accept_state()
        with contextlib.suppress(SSL.Error):
            connection.do_handshake()
        theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(ours, server_hostname=host).close()
    except ssl.SSLCertVerificationError:
        ours.close()
        return False
    finally:
        thread.join()
    return True


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "proxy"


def write(folder: Path, root: Authority, *above: x509.Certificate) -> None:
    key = new_key()
    chain = sign_issuer(root, ask(key), ai_hosts())
    ca_folder.write_ca(folder, key, chain + b"".join(map(certificate_pem, above)), root.pem)  # fmt: skip


def test_clients_of_either_root_work_while_one_replaces_the_other(folder: Path) -> None:
    old, new = make_root("old"), make_root("new")
    write(folder, old)
    assert (trusts(old.pem, folder), trusts(new.pem, folder)) == (True, False)
    write(folder, new, certify_root(old, new.certificate))
    assert (trusts(old.pem, folder), trusts(new.pem, folder)) == (True, True)
    assert trusts(old.pem + new.pem, folder)
    write(folder, new)
    assert (trusts(old.pem, folder), trusts(new.pem, folder)) == (False, True)


def test_a_client_between_a_renewal_and_its_taking_up_is_served_by_the_ca_before(
    folder: Path,
) -> None:
    root = make_root("root")
    write(folder, root)
    before = leaves_of(folder)
    write(folder, root)
    assert trusts(root.pem, folder, leaves=before)
    assert trusts(root.pem, folder)


def test_clients_of_a_root_that_signs_leaves_only_work_while_it_is_replaced(
    folder: Path,
) -> None:
    early, new = make_root("early", leaves_only=True), make_root("new")
    ca_folder.write_ca(folder, early.key, early.pem, early.pem)
    assert (trusts(early.pem, folder), trusts(new.pem, folder)) == (True, False)
    chain = sign_issuer(new, ask(early.key, early.certificate.subject), ai_hosts())
    ca_folder.write_ca(folder, early.key, chain, early.pem + new.pem)
    assert (trusts(early.pem, folder), trusts(new.pem, folder)) == (True, True)


@pytest.mark.parametrize(
    ("host", "may"),
    [
        ("api.openai.com", True),
        ("us.api.openai.com", True),
        ("chatgpt.com", True),
        ("acme.openai.azure.com", True),
        ("bedrock-runtime.eu-west-3.amazonaws.com", True),
        ("europe-west1-aiplatform.googleapis.com", True),
        ("doctor.earthflow.invalid", True),
        ("localhost", True),
        ("www.bank.example", False),
        ("openai.com", False),
        ("github.com", False),
    ],
)
def test_an_issuer_signs_for_ai_hosts_only(folder: Path, host: str, may: bool) -> None:
    root = make_root()
    write(folder, root)
    assert trusts(root.pem, folder, host) == may


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,5}(\.[a-z]{2,5}){1,2}", fullmatch=True)
PATTERNS = st.one_of(
    NAMES,
    NAMES.map("*.{}".format),
    NAMES.map("*-x.{}".format),
    NAMES.map("a.*.{}".format),
    st.ip_addresses(v=4).map(str),
)


@given(st.lists(PATTERNS, min_size=1, max_size=8), PATTERNS)
def test_an_issuer_covers_the_hosts_that_it_was_made_for(
    hosts: list[str], other: str
) -> None:
    key = new_key()
    issuer = x509.load_pem_x509_certificate(sign_issuer(ROOT, ask(key), hosts))
    assert not_covered(issuer, hosts) == []
    assert issuer.not_valid_after_utc <= ROOT.certificate.not_valid_after_utc
    wider = x509.load_pem_x509_certificate(sign_issuer(ROOT, ask(key), [*hosts, other]))
    assert not_covered(wider, [*hosts, other]) == []


ROOT = make_root()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda request: request[:200],
        lambda request: b"",
        lambda request: request.replace(b"REQUEST", b"CERTIFICATE"),
        lambda request: make_root().pem,
    ],
)
def test_what_is_no_request_is_not_signed(spoil: Any) -> None:
    with pytest.raises(ValueError):
        sign_issuer(ROOT, spoil(ask(new_key())), [HOST])


def test_a_root_that_is_offline_signs_where_it_is(state: Path, tmp_path: Path) -> None:
    offline = tmp_path / "offline.pem"
    offline.write_bytes(ROOT.key_pem + ROOT.pem)
    key = new_key()
    folder = state / "ca"
    request = ca_folder.write_request(folder, key, ask(key))
    assert b"PRIVATE" not in request.read_bytes()
    assert stat.S_IMODE((folder / ca_folder.REQUEST_KEY).stat().st_mode) == 0o600
    said = runner.invoke(app, ["sign", str(request), "--root", str(offline)])
    assert said.exit_code == 0, said.output
    chain = said.stdout.encode()
    with pytest.raises(CommandError, match="by another root"):
        ca_folder.take_signed(folder, chain, [make_root().certificate])
    ca_folder.take_signed(folder, chain, [ROOT.certificate])
    assert read_ca(folder).issuer.issuer == ROOT.certificate.subject
    assert run("show")["roots"] == [ROOT.certificate.fingerprint(hashes.SHA256()).hex()]
    assert {path.name for path in folder.iterdir()} == {CA_FILE, PUBLIC_FILE}
    with pytest.raises(CommandError, match="not the certificate of the request"):
        ca_folder.take_signed(folder, chain, [ROOT.certificate])
