"""Settings that proxy and control share, and how a wrong setting is explained.

Settings are read once from the environment into a frozen object; secrets print as
stars.
"""

import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self
from urllib.parse import quote, urlsplit

from cryptography.fernet import Fernet
from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract.logs import set_up

BAD_CONFIGURATION = 78  # sysexits.h EX_CONFIG
MINT_MASTER_KEY = 'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'


def _fernet_key(value: SecretStr) -> SecretStr:
    try:
        Fernet(value.get_secret_value())
    except ValueError:
        raise ValueError(
            f"must be a Fernet key: 44 base64 characters holding exactly 32 bytes. Make one with: {MINT_MASTER_KEY}"
        ) from None
    return value


def _redis_url(value: SecretStr | None) -> SecretStr | None:
    if value is not None and not value.get_secret_value().startswith(
        ("redis://", "rediss://", "unix://")
    ):
        raise ValueError("must be a URL such as redis://:password@host:6379/0")
    if value is not None and (password := urlsplit(value.get_secret_value()).password):
        own_secret(SecretStr(password))
    return value


def _absolute(value: Path) -> Path:
    return value.expanduser().absolute()


def host_names(written: str) -> frozenset[str]:
    """The names in a list such as `llm.corp.example,ollama.corp.example`. Raises ValueError."""
    names = frozenset(
        name.strip().lower() for name in written.split(",") if name.strip()
    )
    if any(set(name) & set("*/: ") for name in names):
        raise ValueError(
            "must be a list of host names, such as llm.corp.example,ollama.corp.example"
        )
    return names


# What documents and examples write where a secret belongs.
EXAMPLE = re.compile(
    r"<.*>|(?:your|my)[-_][a-z_-]+|(?:change|replace)[-_]?me[a-z_-]*", re.IGNORECASE
)


def own_secret[T: SecretStr | None](value: T) -> T:
    """A secret that is not an example's. Raises ValueError."""
    if value is not None and EXAMPLE.fullmatch(value.get_secret_value()):
        raise ValueError(
            'is still an example\'s. Make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    return value


Password = Annotated[SecretStr | None, AfterValidator(own_secret)]
MasterKey = Annotated[SecretStr, AfterValidator(_fernet_key)]
RedisURL = Annotated[SecretStr | None, AfterValidator(_redis_url)]
Folder = Annotated[Path, AfterValidator(_absolute)]


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
            if not (name.endswith("_PORT") and str(value).startswith("tcp://"))
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

    @property
    def master(self) -> str:
        """The master key in clear."""
        return self.master_key.get_secret_value()

    def set_up_logging(self) -> None:
        """Log from `log_level` up: as JSON, or for people in development."""
        level = "WARNING" if self.log_level == "WARN" else self.log_level
        set_up(
            level, self.log_format or ("text" if self.env == "development" else "json")
        )


class Redis(Settings):
    """Where Redis is: the parts, or one URL that overrules them."""

    redis_url: RedisURL = Field(None, validation_alias="EARTHFLOW_REDIS_URL")
    redis_host: str = Field("redis", validation_alias="REDIS_HOST")
    redis_port: int = Field(6379, validation_alias="REDIS_PORT")
    redis_password: Password = Field(None, validation_alias="REDIS_PASSWORD")
    redis_tls: bool = Field(False, validation_alias="REDIS_TLS")
    redis_ca: Path | None = Field(None, validation_alias="REDIS_CA")

    @model_validator(mode="after")
    def _really_tls(self) -> Self:
        if self.redis_ca is not None and not self.redis_ca.is_file():
            raise ValueError("REDIS_CA must be a PEM file")
        by_url = (
            self.redis_url is not None
            and self.redis_url.get_secret_value().startswith("rediss://")
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
        return self._with_ca(
            f"{'rediss' if self.redis_tls else 'redis'}://{password}{self.redis_host}:{self.redis_port}/0"
        )

    def _with_ca(self, url: str) -> str:
        if self.redis_ca is None or not url.startswith("rediss://"):
            return url
        return (
            f"{url}{'&' if '?' in url else '?'}ssl_ca_certs={quote(str(self.redis_ca))}"
        )


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
        name = str(problem["loc"][0])
        if problem["type"] == "missing":
            hint = (
                f"Make one with: {MINT_MASTER_KEY}"
                if name == "EARTHFLOW_MASTER_KEY"
                else "It is required; see .env.example."
            )
            message = f"is not set. {hint}"
        sentences.append(f"{name} {message[0].lower() + message[1:]}")
    return sentences


def refuse_start(program: str, sentences: list[str]) -> NoReturn:
    """Print why `program` does not start, one line each, and exit with the status for
    bad configuration.
    """
    for sentence in sentences:
        print(f"{program}: {sentence}", file=sys.stderr)
    raise SystemExit(BAD_CONFIGURATION)
