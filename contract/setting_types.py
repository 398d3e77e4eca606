"""The types of settings: each knows its edges, and says in a sentence what a value must be."""

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from cryptography.fernet import Fernet
from pydantic import AfterValidator, Field, SecretStr

MINT_MASTER_KEY = 'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
MINT_ADMIN_KEY = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'
LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){LABEL}(?:\.{LABEL})*\.?")
NO_HOST = "must be a host name or an address, without scheme and port, such as redis.internal, 10.0.0.7 or ::1"
DAY, YEAR = 24 * 3600, 366 * 24 * 3600  # seconds
LARGEST_PORT = 65535
# What documents and examples write where a secret belongs.
EXAMPLE = re.compile(
    r"<.*>|(?:your|my)[-_][a-z_-]+|(?:change|replace)[-_]?me[a-z_-]*", re.IGNORECASE
)
VISIBLE = re.compile(r"[\x21-\x7e]+")
THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
LONGEST_KEY = 1000  # characters of a header's value that every client and server takes


def host_of(written: str) -> str:
    """A host name, or an address without brackets. Raises ValueError."""
    bare = written[1:-1] if written[:1] + written[-1:] == "[]" else written
    try:
        ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        # a name of digits alone is an address with a mistake in it
        digits = written.replace(".", "").isdigit()
        if digits or not HOST_NAME.fullmatch(written):
            raise ValueError(NO_HOST) from None
        return written
    return bare


def host_or_all(written: str) -> str:
    """A host to listen on; empty for all addresses. Raises ValueError."""
    return host_of(written) if written else ""


def database_host(written: str) -> str:
    """A host of PostgreSQL, several of them with commas between, or the folder of its socket. Raises ValueError."""
    if written.startswith(("/", "@/")):  # the second is an abstract one
        return written
    return ",".join(host_of(one.strip(" ")) for one in written.split(","))


def host_names(written: str) -> frozenset[str]:
    """The names in a list such as `llm.corp.example,ollama.corp.example`. Raises ValueError."""
    names = frozenset(
        name.strip().lower() for name in written.split(",") if name.strip()
    )
    if not all(HOST_NAME.fullmatch(name) or _is_address(name) for name in names):
        raise ValueError(
            "must be a list of host names, such as llm.corp.example,ollama.corp.example"
        )
    return names


def networks(written: str) -> frozenset[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The networks in a list such as `10.0.0.7,192.168.8.0/24`. Raises ValueError."""
    try:
        names = filter(None, map(str.strip, written.split(",")))
        return frozenset(map(ipaddress.ip_network, names))
    except ValueError:
        raise ValueError(
            "must be a list of addresses and networks, such as 10.0.0.7,192.168.8.0/24"
        ) from None


def host_and_port(written: str) -> tuple[str, int]:
    """`127.0.0.1:9443` or `[::1]:9443` as host and port. Raises ValueError."""
    host, _, port = written.strip().rpartition(":")
    if not (port.isdecimal() and 1 <= int(port) <= LARGEST_PORT):
        raise ValueError("it has no port from 1 to 65535")
    return host_of(host), int(port)


def url_of(written: str, schemes: Sequence[str], example: str) -> SplitResult:
    """The parts of a URL that names a server and nothing of it, such as a path. Raises ValueError."""
    try:
        parts = urlsplit(written)
        port = parts.port
        host_of(parts.hostname or "")
        if (
            parts.scheme not in schemes
            or parts.path.strip("/")
            or parts.query
            or parts.fragment
            or port == 0
            or any(one <= " " for one in written)
        ):
            raise ValueError
    except ValueError:
        raise ValueError(f"must be a URL like {example}") from None
    return parts


def fernet_key(value: SecretStr) -> SecretStr:
    """A Fernet key. Raises ValueError."""
    try:
        Fernet(value.get_secret_value())
    except ValueError:
        raise ValueError(
            f"must be a Fernet key: 44 base64 characters holding exactly 32 bytes. Make one with: {MINT_MASTER_KEY}"
        ) from None
    return value


def own_secret[T: SecretStr | None](value: T) -> T:
    """A secret that is not an example's. Raises ValueError."""
    if value is not None and EXAMPLE.fullmatch(value.get_secret_value()):
        raise ValueError(f"is still an example's. Make one with: {MINT_ADMIN_KEY}")
    return value


def api_key(value: SecretStr | None) -> SecretStr | None:
    """A key that nobody guesses and a header can carry. Raises ValueError."""
    text = value.get_secret_value() if value is not None else None
    if text is not None and len(text) < 32:
        raise ValueError(
            f"must have at least 32 characters. Make one with: {MINT_ADMIN_KEY}"
        )
    if text is not None and not (len(text) <= LONGEST_KEY and VISIBLE.fullmatch(text)):
        raise ValueError(
            f"must have visible ASCII characters alone, {LONGEST_KEY} at most: a header carries it"
        )
    return value


def proxy_url(value: str | None) -> str | None:
    """The URL of a proxy. Raises ValueError."""
    if value is not None:
        parts = url_of(value, ("http", "https"), "https://host:8443")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must have no user name and no password")
    return value


def server_url(value: str | None) -> str | None:
    """The URL of an Earthflow's API, which may be below a path. Raises ValueError."""
    if value is not None:
        server, _, path = value.partition("://")[2].partition("/")
        proxy_url(f"{value.partition('://')[0]}://{server}")
        if not VISIBLE.fullmatch(path or "-") or set(path) & set("?#"):
            raise ValueError("must be a URL like https://host:8443")
    return value


def control_url(value: str) -> str:
    """The URL of control inside the network. Raises ValueError."""
    if url_of(value, ("http",), "http://earthflow-dashboard:8080").username is not None:
        raise ValueError("must have no user name and no password")
    return value.rstrip("/")


def private_url(value: str | None) -> str | None:
    """A URL that secrets and people may be sent to: by HTTPS, or on this machine. It may be below a path. Raises ValueError."""
    if value is not None:
        scheme, _, rest = value.partition("://")
        server, _, path = rest.partition("/")
        parts = url_of(f"{scheme}://{server}", ("http", "https"), "https://host")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must have no user name and no password")
        if parts.scheme == "http" and parts.hostname not in THIS_MACHINE:
            raise ValueError("must begin with https://, unless it is on this machine")
        if not VISIBLE.fullmatch(path or "-") or set(path) & set("?#"):
            raise ValueError("must be a URL like https://host, without ? and #")
    return value


def public_url(value: str | None) -> str | None:
    """The URL of a server as browsers write its origin: in small letters, without its usual port. Raises ValueError."""
    if value is None:
        return None
    parts = url_of(value, ("http", "https"), "https://host")
    private_url(value)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    port = f":{parts.port}" if parts.port not in (None, usual) else ""
    return f"{parts.scheme}://{host}{port}"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _absolute(value: Path) -> Path:
    return value.expanduser().absolute()


Host = Annotated[str, AfterValidator(host_of)]
ListenHost = Annotated[str, AfterValidator(host_or_all)]
DatabaseHost = Annotated[str, AfterValidator(database_host)]
Port = Annotated[int, Field(ge=1, le=LARGEST_PORT)]
ListenPort = Annotated[int, Field(ge=0, le=LARGEST_PORT)]  # 0: any that is free
Networks = frozenset[ipaddress.IPv4Network | ipaddress.IPv6Network]
ProxyURL = Annotated[str | None, AfterValidator(proxy_url)]
ServerURL = Annotated[str | None, AfterValidator(server_url)]
PublicURL = Annotated[str | None, AfterValidator(public_url)]
PrivateURL = Annotated[str | None, AfterValidator(private_url)]
ControlURL = Annotated[str, AfterValidator(control_url)]
Password = Annotated[SecretStr | None, AfterValidator(own_secret)]
AdminKey = Annotated[SecretStr, AfterValidator(api_key), AfterValidator(own_secret)]
PreviousAdminKey = Annotated[
    SecretStr | None, AfterValidator(api_key), AfterValidator(own_secret)
]
MasterKey = Annotated[SecretStr, AfterValidator(fernet_key)]
Folder = Annotated[Path, AfterValidator(_absolute)]
# Seconds of a time-out; a day is longer than anybody waits, and an infinite one is none.
Patience = Annotated[int, Field(ge=1, le=DAY)]
# Seconds to wait for others at a start; 0: ask once.
StartPatience = Annotated[int, Field(ge=0, le=DAY)]
Age = Annotated[int, Field(ge=1, le=YEAR)]
