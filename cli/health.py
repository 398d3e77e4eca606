"""`earthflow health`: checks a running Earthflow; scripts can tell the outcome by the
status.
"""

import json
import ssl
import urllib.error
import urllib.request
from typing import Annotated, Any

import typer

from cli.errors import CommandError
from cli.output import Output, emit
from cli.settings import UpSettings

TIMEOUT = 5.0
DEGRADED = 3


def health(
    host: Annotated[
        str, typer.Option("--host", help="The host of the proxy, or of control.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option("--port", help="By default EARTHFLOW_PORT, or 8443.")
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Ask by https://.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Count DEGRADED as not ready, too.")
    ] = False,
    output: Output = "table",
) -> None:
    """Check whether it is alive and ready.

    Ends with 0; with 3 where it is not ready (or, --strict, degraded); with 1 where
    nothing answers.
    """
    settings = UpSettings()
    url = f"{'https' if tls else 'http'}://{host}:{port or settings.port}/health/ready"
    body = _ask(url, str(settings.proxy_ca) if settings.proxy_ca else None)
    if output == "json":
        typer.echo(json.dumps(body))
    else:
        checks = {
            name: " ".join(
                str(value) for value in check.values() if value not in ([], "")
            )
            for name, check in body["checks"].items()
        }
        emit(
            {
                "status": body["status"],
                "version": body["version"],
                "service": body["service"],
                **checks,
            },
            "table",
        )
    if body["status"] == "DOWN" or (strict and body["status"] != "OK"):
        raise typer.Exit(DEGRADED)


def _ask(url: str, roots: str | None) -> dict[str, Any]:
    context = ssl.create_default_context(cafile=roots)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(url, timeout=TIMEOUT) as answer:
            body: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        body = json.load(error)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise CommandError(
            f"Nobody answers at {url} ({error}). Is Earthflow running there?"
        ) from None
    return body
