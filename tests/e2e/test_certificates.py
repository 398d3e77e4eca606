"""Certificates are exchanged while a proxy serves: its port's own, its issuer, and the root that clients trust."""

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from contract.authority import fingerprint, issue, make_root, read_authority
from tests.support.house import (
    EARTHFLOW,
    PATIENCE,
    House,
    Tenant,
    command_environment,
    curl,
    message,
    wait_until,
)

STREAMS = 50
URL = "https://api.openai.com/v1/chat/completions"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def house(files: Path) -> Iterator[House]:
    show(files, "one")
    told = {
        "TLS_CERT_PATH": str(files / "cert.pem"),
        "TLS_KEY_PATH": str(files / "key.pem"),
    }
    with House(told) as built:
        yield built


def show(files: Path, name: str) -> None:
    """Put a new certificate in place, as certbot does: each file whole."""
    root = make_root(name, days=2)
    chain, key = issue(root, ["localhost"], days=2)
    for file, content in (("cert", chain), ("key", key), ("ca", root.pem)):
        (files / f"{file}.new").write_bytes(content)
        (files / f"{file}.new").rename(files / f"{file}.pem")


def shown(house: House) -> str:
    """Who issued the certificate on the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", house.stack.port), PATIENCE) as plain,
        context.wrap_socket(plain) as secure,
    ):
        der = secure.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).issuer.rfc4514_string()


def open_stream(tenant: Tenant, ca: Path) -> "subprocess.Popen[bytes]":
    command = [
        "curl", "-sSN", "--max-time", f"{PATIENCE:g}", "-x", tenant.proxy("https"),
        "--proxy-cacert", str(ca), "--cacert", str(tenant.house.bundle),
        "-H", "content-type: application/json", "-d", message("Count", stream=True).decode(), URL,
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_the_ports_certificate_is_exchanged_under_fifty_streams(
    house: House, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    async def wait(token: int) -> None:
        while not go.is_set():
            await asyncio.sleep(0.02)

    monkeypatch.setattr(house.providers, "wait", wait)
    before = files / "before.pem"
    shutil.copy(files / "ca.pem", before)
    tenant, heard = house.tenant(), len(house.providers.heard)
    streams = [open_stream(tenant, before) for _ in range(STREAMS)]
    try:
        assert wait_until(lambda: len(house.providers.heard) >= heard + STREAMS, PATIENCE)  # fmt: skip
        assert "one" in shown(house)
        show(files, "two")
        assert wait_until(lambda: "two" in shown(house), PATIENCE)
        go.set()
        for stream in streams:
            out, err = stream.communicate(timeout=PATIENCE)
            assert (stream.returncode, out.count(b"[DONE]")) == (0, 1), err
    finally:
        go.set()
        for stream in streams:
            stream.kill()
            stream.wait()
    assert house.ready()["checks"]["certificates"]["port_days"] == 1


@pytest.mark.parametrize("spoil", ["gone", "another key", "empty"])
def test_a_certificate_that_cannot_be_used_is_named_and_not_used(
    house: House, files: Path, spoil: str
) -> None:
    show(files, "good")
    assert wait_until(lambda: "good" in shown(house), PATIENCE)
    if spoil == "gone":
        (files / "key.pem").unlink()
    else:
        _, key = issue(make_root("other"), ["localhost"])
        (files / "key.pem").write_bytes(key if spoil == "another key" else b"")

    def complaint() -> Any:
        return house.ready()["checks"]["certificates"].get("detail", "")

    assert wait_until(lambda: "the one before stays in use" in complaint(), PATIENCE)
    assert "good" in shown(house)
    show(files, "better")
    assert wait_until(lambda: "better" in shown(house), PATIENCE)
    assert wait_until(lambda: "stays in use" not in complaint(), PATIENCE)


def earthflow(house: House, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [EARTHFLOW, *words, "-o", "json"],
        env=command_environment(house),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def works(tenant: Tenant, files: Path, roots: Path) -> bool:
    """Whether a client that trusts these roots alone gets an answer."""
    done = curl(
        "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-x", tenant.proxy("https"),
        "--proxy-cacert", str(files / "ca.pem"), "--cacert", str(roots),
        "-H", "content-type: application/json", "-d", message("hello").decode(), URL,
    )  # fmt: skip
    return done.stdout == "200"


def test_the_root_is_replaced_and_no_client_fails(house: House, files: Path) -> None:
    folder, tenant = house.folder / "ca", house.tenant()
    exported = folder / "earthflow-ca.pem"
    old, both, new = (files / f"{name}.pem" for name in ("old", "both", "new"))
    first = earthflow(house, "ca", "show")
    shutil.copy(exported, old)
    assert works(tenant, files, old)

    renewed = earthflow(house, "ca", "renew")
    assert renewed["roots"] == first["roots"]
    assert renewed["sha256"] != first["sha256"]

    changing = earthflow(house, "ca", "renew", "--root")
    shutil.copy(exported, both)
    assert len(changing["roots"]) == 2
    new.write_text(both.read_text().removeprefix(old.read_text()))
    assert wait_until(lambda: works(tenant, files, new), PATIENCE)
    assert works(tenant, files, old)
    assert works(tenant, files, both)

    last = earthflow(house, "ca", "renew", "--finish")
    assert last["roots"] == changing["roots"][1:]
    assert wait_until(lambda: not works(tenant, files, old), PATIENCE)
    assert works(tenant, files, new)
    known = house.stack.control.get("/v1/ca")["roots"]
    assert [(root["sha256"], root["state"], root["key"]) for root in known] == [
        (first["roots"][0], "retired", "sealed"),
        (last["roots"][0], "in use", "sealed"),
    ]
    held = read_authority((folder / "mitmproxy-ca.pem").read_bytes()).certificate
    assert fingerprint(held) == last["sha256"]
    assert not (folder / "root.pem").exists()
