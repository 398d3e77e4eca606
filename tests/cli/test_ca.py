"""`earthflow ca`."""

import json
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from addons.mitm.certificates import BadCertificate, check_ca
from cli.ca import CA_FILE, app
from cli.errors import CommandError

runner = CliRunner()


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EARTHFLOW_STATE_DIR", str(tmp_path))
    return tmp_path


def test_init_makes_an_ec_ca_that_only_its_owner_can_read(state: Path) -> None:
    made = json.loads(runner.invoke(app, ["init", "-o", "json"]).stdout)
    path = state / "ca" / CA_FILE
    assert made["path"] == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    check_ca(state / "ca")


def test_init_does_not_replace_a_ca_unless_told_to() -> None:
    first = json.loads(runner.invoke(app, ["init", "-o", "json"]).stdout)["sha256"]
    assert isinstance(runner.invoke(app, ["init"]).exception, CommandError)
    assert (
        json.loads(runner.invoke(app, ["show", "-o", "json"]).stdout)["sha256"] == first
    )
    assert (
        json.loads(runner.invoke(app, ["init", "--force", "-o", "json"]).stdout)[
            "sha256"
        ]
        != first
    )


def test_export_hands_out_the_certificate_and_never_the_key() -> None:
    runner.invoke(app, ["init"])
    pem = runner.invoke(app, ["export"]).stdout
    assert "PRIVATE KEY" not in pem
    ssl.create_default_context(cadata=pem)


def test_show_says_what_to_do_where_there_is_none() -> None:
    result = runner.invoke(app, ["show"])
    assert isinstance(result.exception, CommandError)
    assert "earthflow ca init" in str(result.exception)


@pytest.mark.parametrize(
    "spoil", ["readable", "cut", "another key", "no ca", "expired"]
)
def test_the_proxy_refuses_a_ca_that_is_not_right(state: Path, spoil: str) -> None:
    import datetime as dt

    from cli.ca import issue, make_authority

    runner.invoke(app, ["init"])
    path, now = state / "ca" / CA_FILE, None
    if spoil == "readable":
        path.chmod(0o644)
    elif spoil == "cut":
        path.write_bytes(path.read_bytes()[:300])
    elif spoil == "another key":
        path.write_bytes(make_authority("a").key_pem + make_authority("b").pem)
    elif spoil == "no ca":
        chain, key = issue(make_authority("a"), ["x.example"])
        path.write_bytes(key + chain)
    else:
        now = dt.datetime.now(dt.UTC) + dt.timedelta(days=1000)
    with pytest.raises(BadCertificate):
        check_ca(state / "ca", now)
