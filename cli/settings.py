"""What the command is told by its environment, and the environments it gives to others."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from contract.settings import OptionalPath, OptionalSecret, OptionalText, Settings


def _default_state() -> Path:
    return Path("/var/lib/earthflow") if os.geteuid() == 0 else Path.home() / ".local" / "share" / "earthflow"


class UpSettings(Settings):
    """Settings of `earthflow up`, `run`, `ca` and `demo` on one machine."""

    state_dir: Path = Field(default_factory=_default_state, validation_alias="EARTHFLOW_STATE_DIR")
    env: Literal["development", "staging", "production"] = Field("development", validation_alias="EARTHFLOW_ENV")
    port: int = Field(8443, validation_alias="EARTHFLOW_PORT")
    dashboard_port: int = Field(8080, validation_alias="EARTHFLOW_DASHBOARD_PORT")
    listen_host: str = Field("127.0.0.1", validation_alias="EARTHFLOW_LISTEN_HOST")
    api_key: OptionalSecret = Field(None, validation_alias="EARTHFLOW_API_KEY")
    # Set: an external server, used as it is. Unset: an embedded one.
    postgres_host: OptionalText = Field(None, validation_alias="POSTGRES_HOST")
    database_url: OptionalSecret = Field(None, validation_alias="EARTHFLOW_DATABASE_URL")
    redis_host: OptionalText = Field(None, validation_alias="REDIS_HOST")
    redis_url: OptionalSecret = Field(None, validation_alias="EARTHFLOW_REDIS_URL")
    # Where embedded ones come from, if not from their wheels.
    postgres_bin: OptionalPath = Field(None, validation_alias="EARTHFLOW_POSTGRES_BIN")
    redis_server: OptionalPath = Field(None, validation_alias="EARTHFLOW_REDIS_SERVER")

    @property
    def own_postgres(self) -> bool:
        """Whether `up` starts PostgreSQL itself."""
        return self.postgres_host is None and self.database_url is None

    @property
    def own_redis(self) -> bool:
        """Whether `up` starts Valkey itself."""
        return self.redis_host is None and self.redis_url is None


def environment(changes: Mapping[str, str] | None = None, without: tuple[str, ...] = ()) -> dict[str, str]:
    """This process's environment with changes, for a child."""
    return {key: value for key, value in os.environ.items() if key not in without} | dict(changes or {})


def search_path() -> list[Path]:
    """The folders of PATH."""
    return [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]


def load_env_file(path: Path) -> None:
    """Take `NAME=value` lines into the environment; what is set there already stays."""
    for line in path.read_text().splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            os.environ.setdefault(name.removeprefix("export ").strip(), value.strip().strip("'\""))
