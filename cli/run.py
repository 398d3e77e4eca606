"""`earthflow run -- CMD`: runs a program whose AI calls go through Earthflow, by
environment variables alone. Its exit status is ours.
"""

import os
import subprocess
import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
import typer

from cli.errors import BAD_CONFIGURATION, CommandError
from cli.processes import give_back_umask
from cli.relay import Way
from cli.secrets_file import CLIENT_KEY
from cli.settings import UpSettings, environment
from cli.trust import write_trust
from contract.providers import BadProviders, ai_hosts, providers

# Which variables clients read was measured; README.md, "Connect a client yourself".
PROXY = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "grpc_proxy")
REPLACES_ROOTS = (
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "GIT_SSL_CAINFO", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "PIP_CERT", "CARGO_HTTP_CAINFO", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "npm_config_cafile",
)  # fmt: skip
ADDS_ROOTS = ("NODE_EXTRA_CA_CERTS", "DENO_CERT", "CODEX_CA_CERTIFICATE")
# would bypass the proxy, or its CA
CLEARED = (
    "SSL_CERT_DIR",
    "ALL_PROXY",
    "all_proxy",
)
NEVER_PROXIED = ("localhost", "127.0.0.1", "::1")
NOT_FOUND, NOT_EXECUTABLE = 127, 126


def run(
    context: typer.Context,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            help="The proxy's port on this machine, if not EARTHFLOW_PORT or 8443.",
        ),
    ] = None,
    no_relay: Annotated[
        bool,
        typer.Option(
            "--no-relay",
            help="Put the key into the proxy's URL instead of relaying on loopback.",
        ),
    ] = False,
) -> None:
    """Run a program with its AI calls going through Earthflow:  earthflow run -- python
    program.py
    """
    if not context.args:
        raise CommandError(
            "Nothing to run. For example: earthflow run -- python program.py", 2
        )
    settings = UpSettings()
    way = way_to_proxy(settings, port)
    if no_relay:
        told = client_environment(
            settings, way.key, way.port, way.host, "https" if way.tls else "http"
        )
    else:
        told = client_environment(settings, "", start_relay(way))
    give_back_umask()
    try:
        os.execvpe(context.args[0], context.args, told)  # noqa: S606  (the user's own program; it takes our place, signals and status too)
    except FileNotFoundError:
        raise CommandError(
            f"There is no program {context.args[0]}.", NOT_FOUND
        ) from None
    except OSError as error:
        raise CommandError(
            f"{context.args[0]} cannot be run: {error.strerror}.", NOT_EXECUTABLE
        ) from None


def way_to_proxy(settings: UpSettings, port: int | None = None) -> Way:
    """Where the proxy is, and the key. Raises CommandError."""
    url = urlsplit(settings.proxy_url or f"http://127.0.0.1:{port or settings.port}")
    try:
        host, at = url.hostname or "", url.port or settings.port
    except ValueError:
        raise CommandError(
            "EARTHFLOW_PROXY_URL must be like https://proxy.example.com:8443.",
            BAD_CONFIGURATION,
        ) from None
    way = Way(
        host=host,
        port=at,
        key=client_key(settings),
        tls=url.scheme == "https",
        roots=str(settings.proxy_ca) if settings.proxy_ca else None,
        certificate=str(settings.client_cert) if settings.client_cert else None,
        certificate_key=str(settings.client_cert_key)
        if settings.client_cert_key
        else None,
    )
    try:
        _ = way.context
    except OSError as error:
        raise CommandError(
            f"EARTHFLOW_PROXY_CA or EARTHFLOW_CLIENT_CERT cannot be used: {error}.",
            BAD_CONFIGURATION,
        ) from None
    return way


def start_relay(way: Way) -> int:
    """Start a relay that lives as long as we, what we become, or what we start, holds a
    pipe open; its port. Raises CommandError.
    """
    read, write = os.pipe()
    os.set_inheritable(write, True)
    told = msgspec.json.encode(
        msgspec.structs.replace(way, program=os.getpid(), held=read)
    )
    starting = subprocess.Popen(
        [sys.executable, "-m", "cli.relay"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[read],
        start_new_session=True,
    )
    os.close(read)
    assert starting.stdin is not None and starting.stdout is not None
    starting.stdin.write(told)
    starting.stdin.close()
    said = starting.stdout.readline()
    starting.wait()
    if not said.strip().isdigit():
        raise CommandError("The loopback relay did not start; try --no-relay.")
    return int(said)


def client_key(settings: UpSettings) -> str:
    """EARTHFLOW_API_KEY, or the default tenant's key of this machine. Raises CommandError."""
    if settings.api_key is not None:
        return settings.api_key.get_secret_value()
    path = settings.state_dir / CLIENT_KEY
    try:
        return path.read_text().strip()
    except OSError:
        raise CommandError(
            f"There is no key: set EARTHFLOW_API_KEY, or start `earthflow up` here first (it keeps one in {path}).",
            BAD_CONFIGURATION,
        ) from None


def client_environment(
    settings: UpSettings,
    key: str,
    port: int,
    host: str = "127.0.0.1",
    scheme: str = "http",
) -> dict[str, str]:
    """The whole environment of a program whose AI calls go through the proxy.

    Without `key`, a relay has it, and the environment has none.
    """
    without = CLEARED if key else (*CLEARED, "EARTHFLOW_API_KEY")
    return environment(
        client_variables(settings, key, port, host, scheme), without=without
    )


def client_variables(
    settings: UpSettings,
    key: str,
    port: int,
    host: str = "127.0.0.1",
    scheme: str = "http",
) -> dict[str, str]:
    """The variables by which all kinds of AI clients use the proxy and trust the CA.

    A relay needs no key. Raises CommandError.
    """
    now = environment()
    certificate, bundle = write_trust(
        settings.state_dir,
        [Path(now[name]) for name in REPLACES_ROOTS if now.get(name)],
        settings.ca_cert,
    )
    direct = [
        name.strip()
        for name in (now.get("NO_PROXY") or now.get("no_proxy") or "").split(",")
        if name.strip()
    ]
    try:
        leads_around = partial(_leads_around, ai_hosts(providers(settings.providers)))
    except BadProviders as error:
        raise CommandError(str(error), BAD_CONFIGURATION) from None
    for name in filter(leads_around, direct):
        typer.echo(
            f"earthflow: NO_PROXY `{name}` would let AI calls bypass Earthflow; it is left out.",
            err=True,
        )
    no_proxy = ",".join(
        dict.fromkeys(
            [*(name for name in direct if not leads_around(name)), *NEVER_PROXIED]
        )
    )
    told = dict.fromkeys(
        PROXY, f"{scheme}://{f'key:{key}@' if key else ''}{host}:{port}"
    )
    told |= dict.fromkeys(("NO_PROXY", "no_proxy"), no_proxy)
    told |= dict.fromkeys(REPLACES_ROOTS, str(bundle)) | dict.fromkeys(
        ADDS_ROOTS, str(certificate)
    )
    return told | {"NODE_USE_ENV_PROXY": "1", "EARTHFLOW_RUN": "1"}


def _leads_around(hosts: Iterable[str], name: str) -> bool:
    """Whether a NO_PROXY entry covers an AI host, or one that a pattern of AI hosts
    covers.
    """
    suffix = name.lower().lstrip("*.")
    return name == "*" or any(
        host == suffix
        or host.endswith(f".{suffix}")
        or ("*" in host and fnmatchcase(suffix, host))
        for host in hosts
    )
