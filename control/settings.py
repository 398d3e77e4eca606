"""The settings of control, read once from the environment and frozen."""

from pathlib import Path
from typing import Annotated, Self

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from contract.setting_report import print_report
from contract.setting_types import (
    AdminKey,
    DatabaseHost,
    Host,
    ListenPort,
    Networks,
    Password,
    Port,
    PreviousAdminKey,
    PrivateURL,
    PublicURL,
    StartPatience,
    host_and_port,
    host_names,
    networks,
    own_secret,
)
from contract.settings import Core, Redis, Settings
from contract.snapshot import Rate
from control.sender import Sender
from control.sign_in.provider import Client
from control.sign_in.roles import EXAMPLE, Grant, grants_of


class Postgres(Settings):
    """Where PostgreSQL is: the parts, or one URL that overrules them."""

    database_url: SecretStr | None = Field(
        None, validation_alias="EARTHFLOW_DATABASE_URL"
    )
    direct_url: SecretStr | None = Field(
        None, validation_alias="EARTHFLOW_DATABASE_DIRECT_URL"
    )
    read_url: SecretStr | None = Field(
        None, validation_alias="EARTHFLOW_DATABASE_READ_URL"
    )
    postgres_host: DatabaseHost = Field("postgres", validation_alias="POSTGRES_HOST")
    postgres_port: Port = Field(5432, validation_alias="POSTGRES_PORT")
    postgres_db: str = Field("earthflow", validation_alias="POSTGRES_DB")
    postgres_user: str = Field("earthflow", validation_alias="POSTGRES_USER")
    postgres_password: Password = Field(None, validation_alias="POSTGRES_PASSWORD")

    @field_validator("database_url", "direct_url", "read_url")
    @classmethod
    def _readable(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            parts = conninfo_to_dict(value.get_secret_value() if value else "")
            for port in filter(None, str(parts.get("port", "")).split(",")):
                host_and_port(f"localhost:{port}")
        except (ProgrammingError, ValueError):
            raise ValueError(
                "must be a URL such as postgresql://user:password@host:5432/name"
            ) from None
        if password := parts.get("password"):
            own_secret(SecretStr(str(password)))
        return value

    @model_validator(mode="after")
    def _supported(self) -> Self:
        if self.database_url is None and self.postgres_password is None:
            raise ValueError(
                "POSTGRES_PASSWORD is not set. It is required; see .env.example."
            )
        return self

    @property
    def database(self) -> str:
        """The connection string for libpq. It has the password: never print it."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        password = (
            self.postgres_password.get_secret_value()
            if self.postgres_password
            else None
        )
        return make_conninfo(
            host=self.postgres_host,
            port=self.postgres_port,
            dbname=self.postgres_db,
            user=self.postgres_user,
            password=password,
        )

    @property
    def past_pooler(self) -> str | None:
        """The connection string of the database itself, where `database` leads to a pooler."""
        return self.direct_url.get_secret_value() if self.direct_url else None

    @property
    def database_direct(self) -> str:
        """The same for what a session holds, such as the lock of a job: past a pooler."""
        return self.past_pooler or self.database

    @property
    def database_read(self) -> str:
        """The same for searches and counts: a replica, where there is one."""
        return (
            self.read_url.get_secret_value() if self.read_url else self.database_direct
        )

    @property
    def database_place(self) -> str:
        """Where the database is, for messages; without credentials."""
        return (
            "EARTHFLOW_DATABASE_URL"
            if self.database_url is not None
            else f"{self.postgres_host}:{self.postgres_port}"
        )


class SignIn(Settings):
    """Single sign-on: the provider of the organisation, and what its groups may do here."""

    oidc_issuer: PrivateURL = Field(None, validation_alias="EARTHFLOW_OIDC_ISSUER")
    oidc_client_id: str | None = Field(
        None, validation_alias="EARTHFLOW_OIDC_CLIENT_ID", max_length=500
    )
    oidc_client_secret: Password = Field(
        None, validation_alias="EARTHFLOW_OIDC_CLIENT_SECRET"
    )
    oidc_roles: Annotated[tuple[Grant, ...], NoDecode] = Field(
        (), validation_alias="EARTHFLOW_OIDC_ROLES"
    )
    oidc_groups_claim: str = Field(
        "groups", validation_alias="EARTHFLOW_OIDC_GROUPS_CLAIM", max_length=200
    )
    # where people find the dashboard: the provider sends them back there
    dashboard_url: PublicURL = Field(None, validation_alias="EARTHFLOW_DASHBOARD_URL")

    @field_validator("oidc_roles", mode="before")
    @classmethod
    def _read_roles(cls, written: object) -> object:
        return grants_of(written) if isinstance(written, str) else written

    @model_validator(mode="after")
    def _whole_sign_in(self) -> Self:
        needed = {
            "EARTHFLOW_OIDC_ISSUER": self.oidc_issuer,
            "EARTHFLOW_OIDC_CLIENT_ID": self.oidc_client_id,
            "EARTHFLOW_OIDC_ROLES": self.oidc_roles,
            "EARTHFLOW_DASHBOARD_URL": self.dashboard_url,
        }
        wanted = self.oidc_issuer or self.oidc_client_id or self.oidc_roles
        missing = [name for name, value in needed.items() if not value]
        if wanted and missing:
            raise ValueError(
                f"Single sign-on needs {', '.join(missing)}, too; EARTHFLOW_OIDC_ROLES is such as {EXAMPLE}"
            )
        return self

    @property
    def public_url(self) -> str:
        """The dashboard's origin; empty where none is set."""
        return self.dashboard_url or ""

    @property
    def oidc(self) -> Client | None:
        """We, as the provider knows us; None where there is none."""
        if self.oidc_issuer is None or self.oidc_client_id is None:
            return None
        secret = self.oidc_client_secret
        return Client(
            self.oidc_issuer,
            self.oidc_client_id,
            secret.get_secret_value() if secret else None,
            self.oidc_groups_claim,
            f"{self.public_url}/sign-in/callback",
        )


class ControlSettings(Core, Redis, Postgres, SignIn):
    """Settings of `earthflow control`."""

    admin_key: AdminKey = Field(validation_alias="EARTHFLOW_ADMIN_API_KEY")
    admin_key_previous: PreviousAdminKey = Field(
        None, validation_alias="EARTHFLOW_ADMIN_API_KEY_PREVIOUS"
    )
    dashboard_host: Host = Field(
        "127.0.0.1", validation_alias="EARTHFLOW_DASHBOARD_HOST"
    )
    dashboard_port: ListenPort = Field(
        8080, validation_alias="EARTHFLOW_DASHBOARD_PORT"
    )
    trusted_proxies: Annotated[Networks, NoDecode] = Field(
        frozenset(), validation_alias="EARTHFLOW_TRUSTED_PROXIES"
    )
    tls_cert: Path | None = Field(None, validation_alias="TLS_CERT_PATH")
    tls_key: Path | None = Field(None, validation_alias="TLS_KEY_PATH")
    rules_dir: Path | None = Field(None, validation_alias="EARTHFLOW_RULES_DIR")
    start_timeout: StartPatience = Field(30, validation_alias="EARTHFLOW_START_TIMEOUT")

    # the same edge as a tenant's own limit
    rate_limit_rpm: int = Field(
        1000, validation_alias="RATE_LIMIT_DEFAULT_RPM", ge=1, le=1_000_000
    )
    rate_limit_burst: float = Field(
        1.5, validation_alias="RATE_LIMIT_BURST_FACTOR", ge=0.1, le=1000
    )
    rate_limit_window: int = Field(
        60, validation_alias="RATE_LIMIT_WINDOW_SECONDS", ge=1, le=24 * 3600
    )
    # each waits twice as long as the one before; longer waits are those of the long retry
    webhook_retries: int = Field(3, validation_alias="WEBHOOK_MAX_RETRIES", ge=0, le=10)
    # an attempt holds one of a webhook's four places
    webhook_timeout: float = Field(
        5, validation_alias="WEBHOOK_TIMEOUT_SECONDS", ge=0.1, le=300
    )
    webhook_backoff: int = Field(
        500, validation_alias="WEBHOOK_RETRY_BACKOFF_MS", ge=1, le=60_000
    )
    webhook_long_hours: int = Field(
        72, validation_alias="WEBHOOK_LONG_RETRY_HOURS", ge=1, le=24 * 90
    )
    webhook_internal: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(), validation_alias="WEBHOOK_INTERNAL_HOSTS"
    )
    webhook_ca: Path | None = Field(None, validation_alias="WEBHOOK_CA")
    retention_days: int = Field(
        365, validation_alias="AUDIT_RETENTION_DAYS", ge=1, le=36_500
    )
    hash_prompts: bool = Field(True, validation_alias="AUDIT_HASH_PROMPTS")

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _read_networks(cls, written: object) -> object:
        return networks(written) if isinstance(written, str) else written

    @field_validator("webhook_internal", mode="before")
    @classmethod
    def _read_hosts(cls, written: object) -> object:
        return host_names(written) if isinstance(written, str) else written

    @model_validator(mode="after")
    def _whole_certificate(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError(
                "TLS_CERT_PATH and TLS_KEY_PATH belong together; set both or neither"
            )
        return self

    @field_validator("webhook_ca")
    @classmethod
    def _is_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("must be a PEM file")
        return value

    @property
    def admin_keys(self) -> list[SecretStr]:
        """The admin keys: the current one, and during a change the previous one."""
        return [self.admin_key] + (
            [self.admin_key_previous] if self.admin_key_previous else []
        )

    def sender(self) -> Sender:
        """The sender of webhooks."""
        return Sender(
            self.webhook_timeout,
            self.webhook_internal,
            self.webhook_ca,
            development=self.env == "development",
        )

    @property
    def rate(self) -> Rate:
        """The rate limit of tenants that have none of their own."""
        return Rate(self.rate_limit_rpm, self.rate_limit_burst, self.rate_limit_window)


if __name__ == "__main__":
    print_report(ControlSettings)
