"""Settings: their own names and no others, blanks unset, and an Earthflow that stands for itself."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from addons.settings import ProxySettings
from cli.settings import (
    UpSettings,
    environment,
    load_env_file,
    own_environment,
    settings_of,
)
from control.settings import ControlSettings

FOREIGN = {
    "DATABASE_URL": "postgresql://app@production/shop",
    "REDIS_URL": "redis://production:6379",
    "PORT": "1",
    "ENV": "prod",
    "STATE_DIR": "/nowhere",
    "API_KEY": "x",
    "ADMIN_KEY": "x",
    "MASTER_KEY": "x",
    "MAX_BODY": "x",
}


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARTHFLOW_MASTER_KEY", Fernet.generate_key().decode())
    monkeypatch.setenv("EARTHFLOW_ADMIN_API_KEY", "a" * 40)
    monkeypatch.setenv("POSTGRES_PASSWORD", "hunter22")


def test_variables_of_other_programs_are_not_obeyed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)
    up, control, proxy = UpSettings(), ControlSettings(), ProxySettings()
    assert (up.own_postgres, up.own_redis, up.port, up.env) == (
        True,
        True,
        8443,
        "development",
    )
    assert "production" not in control.database + control.redis + proxy.redis
    assert (proxy.port, proxy.env, proxy.max_body) == (
        8443,
        "production",
        32 * 1024 * 1024,
    )


def test_a_blank_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "EARTHFLOW_DASHBOARD_HOST",
        "EARTHFLOW_STATE_DIR",
        "POSTGRES_HOST",
        "POSTGRES_PORT",
        "REDIS_TLS",
        "EARTHFLOW_ENV",
    ):
        monkeypatch.setenv(name, "")
    control = ControlSettings()
    assert (control.dashboard_host, control.postgres_host, control.postgres_port) == (
        "127.0.0.1",
        "postgres",
        5432,
    )
    assert control.state_dir == Path("/var/lib/earthflow")


def test_a_kubernetes_service_link_is_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PORT", "tcp://10.0.0.1:6379")
    assert ProxySettings().redis_port == 6379


@pytest.mark.parametrize("name", ["EARTHFLOW_DATABASE_URL", "EARTHFLOW_REDIS_URL"])
def test_a_url_that_is_none_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "nonsense//u:hunter2@h/db")
    with pytest.raises(ValueError, match="must be a URL") as caught:
        ControlSettings()
    assert "hunter2" not in str(caught.value)


def test_an_earthflow_for_itself_is_led_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (
        "POSTGRES_HOST",
        "EARTHFLOW_DATABASE_URL",
        "REDIS_HOST",
        "EARTHFLOW_REDIS_URL",
    ):
        monkeypatch.setenv(name, "redis://production")
    monkeypatch.setenv("EARTHFLOW_ENV", "production")
    settings = settings_of(tmp_path)
    assert (settings.own_postgres, settings.own_redis, settings.env, settings.port) == (
        True,
        True,
        "development",
        0,
    )
    assert (settings.master_key, settings.admin_key, settings.state_dir) == (
        None,
        None,
        tmp_path,
    )


def test_an_env_file_is_read_as_compose_reads_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "env"
    file.write_text(
        "# a comment\nEF_A=1  # port\nexport EF_B='x # y'\nEF_C=\"ab'\"\nEF_D=a=b\nEF_SET=file\n\nnonsense\n"
    )
    monkeypatch.setenv("EF_SET", "before")
    for name in ("EF_A", "EF_B", "EF_C", "EF_D"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    load_env_file(file)
    now = environment()
    assert [now[f"EF_{letter}"] for letter in ("A", "B", "C", "D", "SET")] == [
        "1",
        "x # y",
        "ab'",
        "a=b",
        "before",
    ]


SECRETS = {
    "master-key": "M" * 43 + "=",
    "admin-api-key": "the-admin-key-of-the-guide-0123456789",
    "postgres-password": "the-password-of-the-guide",
    "EARTHFLOW_API_KEY": "the-key-of-a-client",
}


@pytest.mark.parametrize(
    ("program", "missing", "kept"),
    [
        ("proxy", {"admin-api-key", "postgres-password", "EARTHFLOW_API_KEY"}, {"master-key"}),
        ("control", {"EARTHFLOW_API_KEY"}, {"master-key", "admin-api-key", "postgres-password"}),
    ],
)  # fmt: skip
def test_a_program_keeps_the_secrets_that_it_reads_alone(
    program: str, missing: set[str], kept: set[str]
) -> None:
    own = own_environment(program, {"PATH": "/bin", **SECRETS})
    assert {name for name in SECRETS if SECRETS[name] in own.values()} == kept
    assert SECRETS.keys() - kept == missing
    assert own["EARTHFLOW_MASTER_KEY"] == SECRETS["master-key"]
    assert own["PATH"] == "/bin"


def test_a_setting_under_its_own_name_is_stronger_than_the_guides() -> None:
    told = {"master-key": "a", "EARTHFLOW_MASTER_KEY": "b"}
    assert own_environment("proxy", told) == {"EARTHFLOW_MASTER_KEY": "b"}
