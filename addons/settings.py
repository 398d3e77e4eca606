"""The settings of the proxy, read once from the environment and frozen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from contract.setting_report import print_report
from contract.setting_types import (
    LARGEST_PORT,
    Age,
    ControlURL,
    Host,
    ListenHost,
    ListenPort,
    Networks,
    Patience,
    StartPatience,
    host_and_port,
    host_names,
    host_of,
    networks,
    url_of,
)
from contract.settings import Core, Redis

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits on what a client or an upstream may demand, in seconds, bytes and
    connections.
    """

    max_body: int
    connections_per_address: int
    handshake_seconds: int
    connection_seconds: int
    stream_idle_seconds: int
    stream_seconds: int
    allowed_clients: Networks = frozenset()  # empty: all


PROJECT = Path(__file__).resolve().parent


class ProxySettings(Core, Redis):
    """Settings of `earthflow proxy` and of the addon under mitmdump."""

    port: ListenPort = Field(8443, validation_alias="EARTHFLOW_PORT")
    listen_host: ListenHost = Field("", validation_alias="EARTHFLOW_LISTEN_HOST")
    control_url: ControlURL = Field(
        "http://127.0.0.1:8080", validation_alias="EARTHFLOW_CONTROL_URL"
    )
    fail_mode: Literal["closed", "open"] = Field(
        "closed", validation_alias="EARTHFLOW_FAIL_MODE"
    )
    audit_mode: Literal["durable", "available"] = Field(
        "durable", validation_alias="EARTHFLOW_AUDIT_MODE"
    )
    # of the records that are not in PostgreSQL yet; None: as many as the disk takes
    spool_bytes: int | None = Field(
        None, validation_alias="EARTHFLOW_SPOOL_BYTES", ge=64 * 1024 * 1024, le=2**50
    )
    # At the end, for records that Redis does not have yet; a pod's spool may go with it
    flush_seconds: int = Field(
        10, validation_alias="EARTHFLOW_FLUSH_SECONDS", ge=0, le=86_400
    )
    block_status: Literal["400", "403", "451"] = Field(
        "400", validation_alias="EARTHFLOW_BLOCK_STATUS"
    )
    # bytes; a call is held in memory several times over while it is read
    max_body: int = Field(
        32 * 1024 * 1024, validation_alias="EARTHFLOW_MAX_BODY", ge=1024, le=2**30
    )
    # as many as a system has ports
    connections_per_address: int = Field(
        1024, validation_alias="EARTHFLOW_CONNECTIONS_PER_ADDRESS", ge=1, le=65_535
    )
    allowed_clients: Annotated[Networks, NoDecode] = Field(
        frozenset(), validation_alias="EARTHFLOW_ALLOWED_CLIENTS"
    )
    handshake_timeout: Patience = Field(
        15, validation_alias="EARTHFLOW_HANDSHAKE_TIMEOUT"
    )
    connection_max_age: Age = Field(
        3600, validation_alias="EARTHFLOW_CONNECTION_MAX_AGE"
    )
    stream_idle_timeout: Patience = Field(
        300, validation_alias="EARTHFLOW_STREAM_IDLE_TIMEOUT"
    )
    stream_max_age: Age = Field(3600, validation_alias="EARTHFLOW_STREAM_MAX_AGE")
    metrics_port: int | None = Field(
        None, validation_alias="EARTHFLOW_METRICS_PORT", ge=0, le=LARGEST_PORT
    )
    metrics_host: Host = Field("127.0.0.1", validation_alias="EARTHFLOW_METRICS_HOST")
    snapshot_max_age: Age = Field(
        24 * 3600, validation_alias="EARTHFLOW_SNAPSHOT_MAX_AGE"
    )
    start_timeout: StartPatience = Field(30, validation_alias="EARTHFLOW_START_TIMEOUT")
    tls_cert: Path | None = Field(None, validation_alias="TLS_CERT_PATH")
    tls_key: Path | None = Field(None, validation_alias="TLS_KEY_PATH")
    tls_ca: Path | None = Field(None, validation_alias="TLS_CA_PATH")
    upstream_ca: Path | None = Field(None, validation_alias="EARTHFLOW_UPSTREAM_CA")
    upstream_map: Annotated[dict[Address, Address], NoDecode] = Field(
        {}, validation_alias="EARTHFLOW_UPSTREAM_MAP"
    )
    internal_hosts: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(), validation_alias="EARTHFLOW_INTERNAL_HOSTS"
    )
    unknown_hosts: Literal["tunnel", "deny"] = Field(
        "tunnel", validation_alias="EARTHFLOW_UNKNOWN_HOSTS"
    )
    providers: Path | None = Field(None, validation_alias="EARTHFLOW_PROVIDERS")
    cache_dir: Path | None = Field(None, validation_alias="EARTHFLOW_CACHE_DIR")
    mitm_conf: Path | None = Field(None, validation_alias="EARTHFLOW_MITM_CONF")

    @model_validator(mode="before")
    @classmethod
    def _read_upstream_map(cls, values: dict[str, object]) -> dict[str, object]:
        written = values.get("EARTHFLOW_UPSTREAM_MAP")
        if isinstance(written, str):
            values = {
                **values,
                "EARTHFLOW_UPSTREAM_MAP": dict(
                    map(_mapping, filter(None, written.split(",")))
                ),
            }
        return values

    @field_validator("audit_mode", mode="before")
    @classmethod
    def _not_yet_strict(cls, written: object) -> object:
        if written == "strict":
            raise ValueError(
                "strict (each record on the disk before its call is sent) is not there yet; "
                "durable survives a kill of any process, though not a power cut. Set durable or available"
            )
        return written

    @field_validator("allowed_clients", mode="before")
    @classmethod
    def _read_networks(cls, written: object) -> object:
        return networks(written) if isinstance(written, str) else written

    @field_validator("internal_hosts", mode="before")
    @classmethod
    def _read_internal_hosts(cls, written: object) -> object:
        return host_names(written) if isinstance(written, str) else written

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.upstream_map and self.env != "development":
            raise ValueError(
                "EARTHFLOW_UPSTREAM_MAP is for EARTHFLOW_ENV=development only; unset it"
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError(
                "TLS_CERT_PATH and TLS_KEY_PATH belong together; set both or neither"
            )
        if self.tls_ca is not None and self.tls_cert is None:
            raise ValueError(
                "TLS_CA_PATH is for TLS: set TLS_CERT_PATH and TLS_KEY_PATH, too"
            )
        return self

    @property
    def limits(self) -> Limits:
        """The limits together."""
        return Limits(
            max_body=self.max_body,
            connections_per_address=self.connections_per_address,
            handshake_seconds=self.handshake_timeout,
            connection_seconds=self.connection_max_age,
            stream_idle_seconds=self.stream_idle_timeout,
            stream_seconds=self.stream_max_age,
            allowed_clients=self.allowed_clients,
        )

    @property
    def conf(self) -> Path:
        """The path of mitm.conf: as set, in the source tree, or inside the installed
        package.
        """
        beside = PROJECT.parent / "mitm.conf"
        return self.mitm_conf or (beside if beside.exists() else PROJECT / "mitm.conf")

    @property
    def control(self) -> Address:
        """Control's host and port."""
        parts = url_of(self.control_url, ("http",), self.control_url)
        return parts.hostname or "", parts.port or 80

    @property
    def compiled_dir(self) -> Path:
        """The folder of compiled rules."""
        return self.cache_dir or self.state_dir / "cache"

    @property
    def ca_dir(self) -> Path:
        """The folder of the interception CA; it may be read-only."""
        return self.state_dir / "ca"

    @property
    def confdir(self) -> Path:
        """The folder that mitmproxy takes for its own, and writes into."""
        return self.state_dir / "mitmproxy"


def _mapping(entry: str) -> tuple[Address, Address]:
    """`api.example.com=127.0.0.1:9443` -> ((name, 443), (address, port))."""
    name, _, target = entry.partition("=")
    try:
        return (host_of(name.strip()), 443), host_and_port(target)
    except ValueError:
        raise ValueError(
            "EARTHFLOW_UPSTREAM_MAP must be a list like api.example.com=127.0.0.1:9443,…"
        ) from None


if __name__ == "__main__":
    print_report(ProxySettings)
