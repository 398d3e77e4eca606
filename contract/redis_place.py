"""Where Redis is, out of a URL: one server, the primary that Sentinels name, or a Cluster.

redis://:password@host:6379/0
redis+sentinel://:password@host:26379,host:26379/primary/0
redis+cluster://:password@host:6379,host:6379

`rediss` in place of `redis` means TLS.
"""

from typing import Annotated, Literal, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import AfterValidator, SecretStr

from contract.setting_types import LARGEST_PORT, host_of, own_secret

PORTS = {"sentinel": 26379, "cluster": 6379}
LONGEST = 10_000  # characters of a URL: some hundred hosts
QUERY = {"ssl_ca_certs", "sentinel_password"}

Kind = Literal["sentinel", "cluster"]


class Place(NamedTuple):
    """Several servers that are one Redis. `primary`: its name among Sentinels; `ca`: a file of roots."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...]
    tls: bool
    username: str | None
    password: str | None
    primary: str = ""
    database: int = 0
    ca: str | None = None
    sentinel_password: str | None = None


def is_several(url: str) -> bool:
    """Whether a URL names Sentinels or a Cluster, and `read_place` reads it."""
    return "+" in url.partition("://")[0]


def read_place(url: str) -> Place:
    """Read a URL of Sentinels or of a Cluster. Raises ValueError with what is wrong."""
    if len(url) > LONGEST:
        raise ValueError(f"has more than {LONGEST:,} characters")
    scheme, _, rest = url.partition("://")
    engine, _, kind = scheme.partition("+")
    if engine not in ("redis", "rediss") or kind not in ("sentinel", "cluster"):
        raise ValueError("begins with redis+sentinel:// or redis+cluster://")
    rest, _, query = rest.partition("?")
    told = {name: values[-1] for name, values in parse_qs(query).items()}
    if told.keys() - QUERY:
        # Not which one: a password with a `?` in it would end here.
        raise ValueError(
            f"may have {' and '.join(sorted(QUERY))} behind `?`, and nothing else"
        )
    servers, _, path = rest.partition("/")
    user, _, servers = servers.rpartition("@")
    name, _, password = user.partition(":")
    primary, database = _path(path, kind == "sentinel")
    return Place(
        "sentinel" if kind == "sentinel" else "cluster",
        tuple(_host(one, PORTS[kind]) for one in servers.split(",")),
        engine == "rediss",
        unquote(name) or None,
        unquote(password) or None,
        primary,
        database,
        told.get("ssl_ca_certs"),
        told.get("sentinel_password"),
    )


def _path(path: str, sentinel: bool) -> tuple[str, int]:
    """The primary's name, and the database."""
    primary, _, number = path.strip("/").partition("/")
    if not sentinel:
        if path.strip("/") not in ("", "0"):
            raise ValueError("of a Cluster has no database but 0")
        return "", 0
    if not primary:
        raise ValueError("of Sentinels ends with the primary's name: …:26379/mymaster")
    if number and not number.isdecimal():
        raise ValueError("has a database that is no number")
    return unquote(primary), int(number or 0)


def _host(text: str, port: int) -> tuple[str, int]:
    """`host`, `host:port`, `[::1]:port`."""
    if text.startswith("["):
        host, _, after = text[1:].partition("]")
        number = after.removeprefix(":")
    else:
        host, _, number = text.partition(":")
    if number and not (number.isdecimal() and 0 < int(number) <= LARGEST_PORT):
        raise ValueError("has a port that is none")
    return host_of(host), int(number or port)


def redis_url(value: SecretStr | None) -> SecretStr | None:
    """The URL of a Redis, of Sentinels, or of a Cluster. Raises ValueError."""
    if value is None:
        return None
    if is_several(url := value.get_secret_value()):
        place = read_place(url)
        if place.password:
            own_secret(SecretStr(place.password))
        return value
    try:
        parts = urlsplit(url)
        if parts.scheme == "unix":
            return value
        number = parts.path.strip("/")
        if parts.scheme not in ("redis", "rediss") or parts.port == 0:
            raise ValueError
        if number and not number.isdecimal():
            raise ValueError
        host_of(parts.hostname or "localhost")
    except ValueError:
        raise ValueError(
            "must be a URL such as redis://:password@host:6379/0"
        ) from None
    if parts.password:
        own_secret(SecretStr(parts.password))
    return value


RedisURL = Annotated[SecretStr | None, AfterValidator(redis_url)]
