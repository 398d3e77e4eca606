"""Starting: what is missing or broken is said in a sentence and a status, before a port opens."""

import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import psycopg
import pytest
from cryptography.fernet import Fernet

import addons.run
import control.__main__
from cli import processes
from cli.ca_folder import write_local
from cli.engines import Engines
from cli.settings import environment
from cli.stack import PROGRAMS, port_said
from contract.authority import issue, make_root
from contract.decision import new_id
from tests.support.house import EARTHFLOW, PATIENCE, House

ADMIN = "a-long-admin-key-for-tests-0123456789"
PASSWORDLESS = (
    "EARTHFLOW_DATABASE_URL",
    "POSTGRES_HOST",
    "POSTGRES_PASSWORD",
    "EARTHFLOW_REDIS_URL",
)

SOCKET = ".s.PGSQL.5432"

BAD_SETTINGS = [
    ("control", {"EARTHFLOW_MASTER_KEY": ""}, "EARTHFLOW_MASTER_KEY is not set"),
    (
        "control",
        {"EARTHFLOW_MASTER_KEY": "too-short"},
        "EARTHFLOW_MASTER_KEY must be a Fernet key",
    ),
    (
        "proxy",
        {"EARTHFLOW_MASTER_KEY": "A" * 44},
        "EARTHFLOW_MASTER_KEY must be a Fernet key",
    ),
    (
        "control",
        {"EARTHFLOW_ADMIN_API_KEY": "short"},
        "EARTHFLOW_ADMIN_API_KEY must have at least 32 characters",
    ),
    ("control", {"EARTHFLOW_DATABASE_URL": ""}, "POSTGRES_PASSWORD is not set"),
    (
        "control",
        {"EARTHFLOW_ADMIN_API_KEY": "<your-secure-admin-key-of-the-guide>"},
        "EARTHFLOW_ADMIN_API_KEY is still an example's",
    ),
    (
        "control",
        {"EARTHFLOW_DATABASE_URL": "", "POSTGRES_PASSWORD": "<strong-password>"},
        "POSTGRES_PASSWORD is still an example's",
    ),
    (
        "proxy",
        {"REDIS_PASSWORD": "changeme"},
        "REDIS_PASSWORD is still an example's",
    ),
    (
        "proxy",
        {"EARTHFLOW_MASTER_KEY": "<generate with: python -c ...>"},
        "EARTHFLOW_MASTER_KEY must be a Fernet key",
    ),
    ("proxy", {"TLS_CA_PATH": "/tmp/ca.pem"}, "TLS_CA_PATH is for TLS"),
    ("proxy", {"TLS_CERT_PATH": "/tmp/cert.pem"}, "belong together"),
    (
        "proxy",
        {"EARTHFLOW_UPSTREAM_MAP": "a=127.0.0.1:1", "EARTHFLOW_ENV": "production"},
        "development only",
    ),
    (
        "proxy",
        {"EARTHFLOW_UPSTREAM_MAP": "nonsense"},
        "EARTHFLOW_UPSTREAM_MAP must be a list",
    ),
    ("proxy", {"EARTHFLOW_FAIL_MODE": "maybe"}, "EARTHFLOW_FAIL_MODE"),
    ("proxy", {"EARTHFLOW_AUDIT_MODE": "strict"}, "is not there yet"),
]
BAD_STARTS = [
    BAD_SETTINGS[0],
    (
        "proxy",
        {"EARTHFLOW_STATE_DIR": "/tmp/earthflow-nothing-here"},
        "earthflow ca init",
    ),
]
MAINS = {"control": control.__main__.main, "proxy": addons.run.main}

BAD_OPTIONS = [
    "no_such_option: 1",
    "ssl_insecure: true",
    "connection_strategy: nope",
    "http2: many",
    "- a list",
    "a: [b",
]


@pytest.fixture
def told(engines: Engines, tmp_path: Path) -> dict[str, str]:
    """The environment of a service that would start, but for what a test spoils."""
    write_local(tmp_path / "ca")
    return environment(
        {
            "EARTHFLOW_MASTER_KEY": Fernet.generate_key().decode(),
            "EARTHFLOW_ADMIN_API_KEY": ADMIN,
            "EARTHFLOW_ENV": "development",
            "EARTHFLOW_STATE_DIR": str(tmp_path),
            "EARTHFLOW_DATABASE_URL": engines.database_url,
            "EARTHFLOW_REDIS_URL": engines.redis_url,
            "EARTHFLOW_DASHBOARD_PORT": "0",
            "EARTHFLOW_PORT": "0",
            "EARTHFLOW_START_TIMEOUT": "0",
            "EARTHFLOW_CONTROL_URL": "http://127.0.0.1:1",
        }
    )


def start(program: str, told: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        PROGRAMS[program],
        env=told,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize(("program", "spoiled", "sentence"), BAD_SETTINGS)
def test_a_bad_setting_ends_the_start_with_78_and_its_name(
    told: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    program: str,
    spoiled: dict[str, str],
    sentence: str,
) -> None:
    """Here, without a process: it ends before anything is started."""
    monkeypatch.setattr(os, "environ", told | spoiled)
    with pytest.raises(SystemExit) as ended:
        MAINS[program]()
    said = capsys.readouterr().err
    assert (ended.value.code, sentence in said) == (78, True), said
    assert not any(
        value and value in said
        for name, value in spoiled.items()
        if name.endswith(("_KEY", "_PASSWORD"))
    )


@pytest.mark.parametrize(("program", "spoiled", "sentence"), BAD_STARTS)
def test_a_process_ends_with_that_status_and_no_traceback(
    told: dict[str, str], program: str, spoiled: dict[str, str], sentence: str
) -> None:
    done = start(program, told | spoiled)
    assert (done.returncode, sentence in done.stderr) == (78, True), done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_rule_file_ends_the_start_with_78_file_line_and_column(
    told: dict[str, str], tmp_path: Path
) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "team.yaml").write_text(
        "earthflow: 1\nrules:\n  - id: team.x\n    action: blok\n    match: {regex: a}\n"
    )
    done = start("control", told | {"EARTHFLOW_RULES_DIR": str(rules)})
    assert done.returncode == 78
    assert "team.yaml:4:13: error: `blok` is not a valid action" in done.stderr
    assert "did you mean `block`?" in done.stderr


def test_control_without_postgresql_says_where_it_looked(told: dict[str, str]) -> None:
    told = {name: value for name, value in told.items() if name not in PASSWORDLESS}
    done = start(
        "control",
        told
        | {
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": "1",
            "POSTGRES_PASSWORD": "hunter2",
        },
    )
    assert (
        done.returncode,
        "PostgreSQL does not answer at 127.0.0.1:1" in done.stderr,
    ) == (1, True), done.stderr
    assert "hunter2" not in done.stderr


@pytest.fixture
def own_database(engines: Engines) -> Iterator[str]:
    """A database that control may make its tables in."""
    name = f"start_{new_id().replace('-', '')}"
    with psycopg.connect(engines.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield engines.database_url.replace("/postgres?", f"/{name}?")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_control_waits_for_postgresql_to_come_up(
    told: dict[str, str], own_database: str
) -> None:
    """At first somebody listens who answers nothing, then PostgreSQL stands in that place."""
    (place,) = re.findall(r"host=([^&]+)", own_database)
    real = Path(unquote(place)) / SOCKET
    with tempfile.TemporaryDirectory() as folder:  # a socket's path must be short
        url = own_database.replace(place, quote(folder, safe=""))
        early = Path(folder) / SOCKET
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(early))
            listener.listen()
            listener.settimeout(PATIENCE)
            control = processes.start(
                PROGRAMS["control"],
                told | {"EARTHFLOW_DATABASE_URL": url, "EARTHFLOW_START_TIMEOUT": "60"},
                subprocess.PIPE,
            )
            try:
                listener.accept()[0].close()
                early.unlink()
                early.symlink_to(real)
                assert port_said(control) is not None
            finally:
                processes.stop(control)


@pytest.mark.parametrize(
    ("chain", "key", "sentence"),
    [
        ("a", "b", "are not a PEM certificate chain and its key"),
        ("old", "old", "expired on"),
        ("a", "none", "there is no file"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_named(
    told: dict[str, str], tmp_path: Path, chain: str, key: str, sentence: str
) -> None:
    root = make_root()
    for name, days in (("a", 2), ("b", 2), ("old", 0)):
        made = issue(root, ["localhost"], days=days)
        (tmp_path / f"{name}.pem").write_bytes(made[0])
        (tmp_path / f"{name}.key").write_bytes(made[1])
    spoiled = {
        "TLS_CERT_PATH": str(tmp_path / f"{chain}.pem"),
        "TLS_KEY_PATH": str(tmp_path / f"{key}.key"),
    }
    done = start("proxy", told | spoiled)
    assert (done.returncode, sentence in done.stderr) == (78, True), done.stderr
    assert "PRIVATE" not in done.stderr


def test_a_folder_that_is_none_is_said_by_every_command(told: dict[str, str]) -> None:
    told |= {"EARTHFLOW_STATE_DIR": "/dev/null/state"}
    for words in (["ca", "init", "--local"], ["ca", "install", "--dry-run"]):
        done = subprocess.run([EARTHFLOW, *words], env=told, capture_output=True, text=True, check=False)  # fmt: skip
        assert done.returncode != 0
        assert re.fullmatch(r"earthflow: .*/dev/null/state.*\n", done.stderr), (
            done.stderr
        )


def test_a_proxy_without_control_and_without_a_snapshot_does_not_serve(
    told: dict[str, str],
) -> None:
    done = start("proxy", told)
    assert (
        done.returncode,
        "control does not answer at http://127.0.0.1:1" in done.stderr,
    ) == (78, True), done.stderr


@pytest.mark.parametrize("line", BAD_OPTIONS)
def test_mitm_conf_is_checked_line_by_line(
    house: House, tmp_path: Path, line: str
) -> None:
    conf = tmp_path / "mitm.conf"
    conf.write_text(line + "\n")
    done = start(
        "proxy",
        house.stack.environment(
            EARTHFLOW_MITM_CONF=str(conf), EARTHFLOW_CONTROL_URL=house.stack.control.url
        ),
    )
    assert (done.returncode, str(conf) in done.stderr) == (78, True), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("program", "variable"),
    [("proxy", "EARTHFLOW_PORT"), ("control", "EARTHFLOW_DASHBOARD_PORT")],
)
def test_a_taken_port_ends_the_process_with_a_sentence(
    house: House, program: str, variable: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        told = house.stack.environment(
            **{variable: str(taken.getsockname()[1])},
            EARTHFLOW_LISTEN_HOST="127.0.0.1",
            EARTHFLOW_CONTROL_URL=house.stack.control.url,
        )
        done = start(program, told)
    assert (done.returncode, f"set {variable}" in done.stderr) == (1, True), done.stderr


def test_another_master_key_does_not_open_the_database(house: House) -> None:
    told = house.stack.environment() | {
        "EARTHFLOW_MASTER_KEY": Fernet.generate_key().decode(),
        "EARTHFLOW_DASHBOARD_PORT": "0",
    }
    done = start("control", told)
    assert (
        done.returncode,
        "EARTHFLOW_MASTER_KEY is not the one of this database" in done.stderr,
    ) == (
        78,
        True,
    ), done.stderr


def test_the_first_start_shows_its_keys_once_and_the_line_to_paste(
    house: House,
) -> None:
    said = "\n".join(house.said)
    assert re.search(r"admin key +ef_admin_", said)
    assert house.stack.new_key is not None
    assert (house.folder / "secrets.env").stat().st_mode & 0o777 == 0o600
    assert (house.folder / "client-key").stat().st_mode & 0o777 == 0o600


def environment_from_outside(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text().replace("\0", "\n")


def test_the_guides_kubernetes_secret_is_read_and_does_not_stay(
    told: dict[str, str], own_database: str
) -> None:
    told["EARTHFLOW_DATABASE_URL"] = own_database
    literal = {
        "master-key": told.pop("EARTHFLOW_MASTER_KEY"),
        "admin-api-key": told.pop("EARTHFLOW_ADMIN_API_KEY"),
        "postgres-password": "the-password",
        "EARTHFLOW_API_KEY": "somebody's key",
    }
    process = processes.start([EARTHFLOW, "control"], told | literal, subprocess.PIPE)
    try:
        assert port_said(process) is not None
        seen = environment_from_outside(process.pid)
    finally:
        processes.stop(process)
    assert f"EARTHFLOW_MASTER_KEY={literal['master-key']}\n" in seen
    assert f"EARTHFLOW_ADMIN_API_KEY={literal['admin-api-key']}\n" in seen
    assert "POSTGRES_PASSWORD=the-password\n" in seen
    assert "master-key=" not in seen
    assert "somebody's key" not in seen


def test_a_proxy_has_no_secret_of_controls(house: House) -> None:
    seen = environment_from_outside(house.stack.services["proxy"].process.pid)
    assert house.stack.secrets["EARTHFLOW_MASTER_KEY"] in seen
    assert house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"] not in seen
    assert "EARTHFLOW_DATABASE_URL" not in seen
