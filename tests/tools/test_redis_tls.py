"""REDIS_TLS=true against a real Redis that speaks nothing but TLS, with a password: records arrive, and a certificate of nobody's is refused."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from cli.processes import wait_until
from tests.support.house import PATIENCE, House, message

PASSWORD = "p@ss/word"


@pytest.fixture(scope="module")
def tls_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Its port, and the file of its CA."""
    folder = tmp_path_factory.mktemp("redis-tls")
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    leaf.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    leaf.private_key_pem.write_to_path(folder / "key.pem")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        "--port", "0", "--tls-port", str(port), "--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem", "--tls-ca-cert-file", "ca.pem",
        "--tls-auth-clients", "no", "--requirepass", PASSWORD, "--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "noeviction",
    ]  # fmt: skip
    # Debian's redis-tools has the server's program under another name; it goes by the name it is called by.
    process = subprocess.Popen(
        ["redis-server", *words],
        executable="/usr/bin/redis-check-rdb",
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    try:
        assert wait_until(lambda: _answers(port), PATIENCE)
        yield port, folder / "ca.pem"
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def told(port: int, ca: Path | None) -> dict[str, str]:
    words = {
        "REDIS_HOST": "localhost",
        "REDIS_PORT": str(port),
        "REDIS_PASSWORD": PASSWORD,
        "REDIS_TLS": "true",
        "EARTHFLOW_REDIS_URL": "",
    }
    return words | ({"REDIS_CA": str(ca)} if ca else {})


def test_records_travel_by_tls(tls_redis: tuple[int, Path]) -> None:
    with House(told(*tls_redis)) as house:
        tenant = house.tenant(max_requests_per_minute=2)
        for _ in range(3):
            tenant.post(message("hello"))
        assert tenant.post(message("hello"))[0] == 429  # the limit is asked there, too
        assert len(tenant.audit(4)) == 4
        assert house.ready()["checks"]["redis"] == {"status": "OK"}


def test_a_certificate_of_nobodys_is_refused(tls_redis: tuple[int, Path]) -> None:
    with House(told(tls_redis[0], None)) as house:
        tenant = house.tenant()
        # Redis away changes nothing for traffic
        assert tenant.post(message("hello"))[0] == 200
        assert wait_until(
            lambda: house.ready()["checks"]["redis"]["status"] == "DEGRADED", PATIENCE
        )
