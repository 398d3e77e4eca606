"""Control's port speaks HTTPS and HTTP, and shows the certificate that its files have now."""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import web
from cryptography.fernet import Fernet

from cli.settings import environment
from contract.settings import BAD_CONFIGURATION
from control import port
from control.app import application
from control.port import BadCertificate, Certificate, EitherSite
from control.state import State


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(ca: trustme.CA, tmp_path: Path) -> tuple[Path, Path]:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    write(ca, chain, key)
    return chain, key


def write(ca: trustme.CA, chain: Path, key: Path) -> str:
    """Another certificate for localhost; its serial number."""
    made = ca.issue_cert("localhost", "127.0.0.1")
    for file, text in ((key, made.private_key_pem.bytes()), (chain, made.cert_chain_pems[0].bytes())):  # fmt: skip
        new = file.with_suffix(".new")
        new.write_bytes(text)
        new.rename(file)
    return str(made.cert_chain_pems[0].bytes())


@pytest.fixture
async def open_port(state: State, files: tuple[Path, Path]) -> AsyncIterator[int]:
    await state.read_keys()
    runner = web.AppRunner(application(state))
    await runner.setup()
    site = EitherSite(runner, "127.0.0.1", 0, Certificate(*files))
    await site.start()
    yield site.port
    await runner.cleanup()


def trusting(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


async def test_one_port_speaks_both(open_port: int, ca: trustme.CA) -> None:
    async with aiohttp.ClientSession() as client:
        for scheme in ("http", "https", "http", "https"):
            url = f"{scheme}://localhost:{open_port}"
            async with client.get(f"{url}/health", ssl=trusting(ca)) as answer:
                assert answer.status == 200
        origin = f"https://localhost:{open_port}"
        async with client.post(f"{origin}/sign-in", data={"key": "a" * 40}, headers={"Origin": origin}, ssl=trusting(ca), allow_redirects=False) as answer:  # fmt: skip
            assert answer.status == 303
            assert answer.headers["Set-Cookie"].startswith("__Host-earthflow=") and "Secure" in answer.headers["Set-Cookie"]  # fmt: skip


async def shown(open_port: int, ca: trustme.CA) -> bytes:
    """The certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection("localhost", open_port, ssl=trusting(ca))  # fmt: skip
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    assert isinstance(shown, bytes)
    return shown


async def test_a_renewed_certificate_is_shown_and_a_broken_one_is_not(open_port: int, ca: trustme.CA, files: tuple[Path, Path]) -> None:  # fmt: skip
    first = await shown(open_port, ca)
    assert await shown(open_port, ca) == first
    write(ca, *files)
    second = await shown(open_port, ca)
    assert second != first
    for break_it in (lambda: files[0].write_text("no certificate"), files[1].unlink):
        break_it()
        assert await shown(open_port, ca) == second
    write(ca, *files)
    assert await shown(open_port, ca) not in (first, second)


async def test_who_says_nothing_keeps_nobody_out(open_port: int, ca: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(port, "MOST_GREETED", 5)
    silent = [await asyncio.open_connection("127.0.0.1", open_port) for _ in range(5)]
    assert await shown(open_port, ca)  # the oldest makes room
    assert await asyncio.wait_for(silent[0][0].read(), 20) == b""
    for _, one in silent:
        one.close()
        await one.wait_closed()
    assert await shown(open_port, ca)
    reader, writer = await asyncio.open_connection("127.0.0.1", open_port)
    writer.write(b"\x16\x03\x01 no handshake at all")
    assert len(await reader.read()) < 100  # an alert, and the end
    writer.close()
    assert await shown(open_port, ca)


async def test_who_is_silent_for_long_is_closed(state: State, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(port, "PATIENCE", 0.2)
    runner = web.AppRunner(application(state))
    await runner.setup()
    site = EitherSite(runner, "127.0.0.1", 0, Certificate(*files))
    await site.start()
    for begin in (b"", b"\x16\x03\x01"):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(begin)
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
    await runner.cleanup()


def test_a_certificate_that_cannot_be_used_is_said_at_the_start(files: tuple[Path, Path]) -> None:  # fmt: skip
    with pytest.raises(BadCertificate, match=r"TLS_CERT_PATH .* cannot be used: No such file"):  # fmt: skip
        Certificate(files[0].with_name("none.pem"), files[1])
    files[0].write_text("none")
    with pytest.raises(BadCertificate):
        Certificate(*files)


def test_half_a_pair_is_a_bad_configuration(files: tuple[Path, Path]) -> None:
    given = {
        "EARTHFLOW_MASTER_KEY": Fernet.generate_key().decode(),
        "EARTHFLOW_ADMIN_API_KEY": "a" * 40,
        "POSTGRES_PASSWORD": "p" * 24,
        "TLS_CERT_PATH": str(files[0]),
    }
    told = environment({**dict.fromkeys(("TLS_KEY_PATH",), ""), **given})
    told.pop("TLS_KEY_PATH")
    done = subprocess.run([sys.executable, "-m", "control"], env=told, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == BAD_CONFIGURATION
    assert "TLS_CERT_PATH and TLS_KEY_PATH belong together" in done.stderr
