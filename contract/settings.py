"""Settings that proxy and control share, and how a wrong setting is explained.

Settings are read once from the environment into a frozen object; secrets print as
stars.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Any, Literal, NoReturn, Self
from urllib.parse import quote

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract.logs import set_up
from contract.redis_place import RedisURL
from contract.setting_names import is_service_link, unknown
from contract.setting_types import (
    MINT_MASTER_KEY,
    Folder,
    Host,
    MasterKey,
    Password,
    Port,
)

logger = logging.getLogger("earthflow.settings")

TLS_SCHEMES = ("rediss://", "rediss+")

BAD_CONFIGURATION = 78  # sysexits.h EX_CONFIG


class Settings(BaseSettings):
    """Base of all settings: environment only, frozen, each field under its alias alone.

    An empty variable counts as unset, as compose files write it.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _pass_over_service_links(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Kubernetes sets `REDIS_PORT=tcp://10.0.0.1:6379` for a service named redis;
        that is no port.
        """
        return {
            name: value
            for name, value in values.items()
            if not is_service_link(name, str(value))
        }


class Core(Settings):
    """The environment, the state folder, the master key, and logging."""

    master_key: MasterKey = Field(validation_alias="EARTHFLOW_MASTER_KEY")
    env: Literal["development", "staging", "production"] = Field(
        "production", validation_alias="EARTHFLOW_ENV"
    )
    log_level: Literal["DEBUG", "INFO", "WARN", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias="EARTHFLOW_LOG_LEVEL"
    )
    log_format: Literal["text", "json"] | None = Field(
        None, validation_alias="EARTHFLOW_LOG_FORMAT"
    )
    state_dir: Folder = Field(
        Path("/var/lib/earthflow"), validation_alias="EARTHFLOW_STATE_DIR"
    )
    # what load balancers and Kubernetes take to notice; beyond ten minutes it is a mistake
    drain_seconds: int = Field(
        5, validation_alias="EARTHFLOW_DRAIN_SECONDS", ge=0, le=600
    )

    @property
    def master(self) -> str:
        """The master key in clear."""
        return self.master_key.get_secret_value()

    def set_up_logging(self) -> None:
        """Log from `log_level` up: as JSON, or for people in development. The first lines name what looks like a setting and is none."""
        level = "WARNING" if self.log_level == "WARN" else self.log_level
        set_up(
            level, self.log_format or ("text" if self.env == "development" else "json")
        )
        for sentence in unknown(os.environ):
            logger.warning("%s", sentence)


class Redis(Settings):
    """Where Redis is: the parts, or one URL that overrules them."""

    redis_url: RedisURL = Field(None, validation_alias="EARTHFLOW_REDIS_URL")
    redis_host: Host = Field("redis", validation_alias="REDIS_HOST")
    redis_port: Port = Field(6379, validation_alias="REDIS_PORT")
    redis_password: Password = Field(None, validation_alias="REDIS_PASSWORD")
    redis_tls: bool = Field(False, validation_alias="REDIS_TLS")
    redis_ca: Path | None = Field(None, validation_alias="REDIS_CA")

    @model_validator(mode="after")
    def _really_tls(self) -> Self:
        if self.redis_ca is not None and not self.redis_ca.is_file():
            raise ValueError("REDIS_CA must be a PEM file")
        by_url = (
            self.redis_url is not None
            and self.redis_url.get_secret_value().startswith(TLS_SCHEMES)
        )
        if self.redis_ca is not None and not (
            by_url or (self.redis_tls and self.redis_url is None)
        ):
            raise ValueError(
                "REDIS_CA is for a Redis by TLS: set REDIS_TLS=true, or a rediss:// URL"
            )
        return self

    @property
    def redis(self) -> str:
        """The URL to connect to; holds the password, so never print it."""
        if self.redis_url:
            return self._with_ca(self.redis_url.get_secret_value())
        password = (
            f":{quote(self.redis_password.get_secret_value(), safe='')}@"
            if self.redis_password
            else ""
        )
        host = f"[{self.redis_host}]" if ":" in self.redis_host else self.redis_host
        scheme = "rediss" if self.redis_tls else "redis"
        return self._with_ca(f"{scheme}://{password}{host}:{self.redis_port}/0")

    def _with_ca(self, url: str) -> str:
        if self.redis_ca is None or not url.startswith(TLS_SCHEMES):
            return url
        return (
            f"{url}{'&' if '?' in url else '?'}ssl_ca_certs={quote(str(self.redis_ca))}"
        )


# What pydantic finds wrong -> what the value must be, with the edge where there is one.
SENTENCES = {
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number, and not an infinite one",
    "bool_parsing": "must be true or false",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
}


def explain(error: ValidationError) -> list[str]:
    """One sentence per wrong setting, with the variable's name and never its value."""
    sentences = []
    for problem in error.errors(include_input=False, include_url=False):
        message = problem["msg"].removeprefix("Value error, ")
        if not problem[
            "loc"
        ]:  # about several settings together; the sentence names them
            sentences.append(message)
            continue
        name, kind = str(problem["loc"][0]), problem["type"]
        if kind == "missing":
            hint = (
                f"Make one with: {MINT_MASTER_KEY}"
                if name == "EARTHFLOW_MASTER_KEY"
                else "It is required; see .env.example."
            )
            message = f"is not set. {hint}"
        elif kind in SENTENCES:
            edges = {
                edge: int(at) if isinstance(at, float) and at.is_integer() else at
                for edge, at in problem.get("ctx", {}).items()
            }
            message = SENTENCES[kind].format(**edges) + "."
        sentences.append(f"{name} {message[0].lower() + message[1:]}")
    return sentences


def refuse_start(program: str, sentences: list[str]) -> NoReturn:
    """Print why `program` does not start, one line each, and exit with the status for
    bad configuration.
    """
    for sentence in sentences:
        print(f"{program}: {sentence}", file=sys.stderr)
    raise SystemExit(BAD_CONFIGURATION)
