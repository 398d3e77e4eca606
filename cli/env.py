"""`earthflow env`: the variables that `earthflow run` sets, as lines for a shell, a
container or an editor.
"""

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Literal

import typer

from cli.run import CLEARED, client_key, client_variables
from cli.settings import UpSettings

Shell = Literal["bash", "fish", "powershell", "docker", "vscode", "json"]


def env(
    shell: Annotated[
        Shell,
        typer.Option(
            "--shell",
            help="The form: bash (and zsh), fish, powershell, docker, vscode or json.",
        ),
    ] = "bash",
    port: Annotated[
        int | None,
        typer.Option("--port", help="The proxy's port, if not EARTHFLOW_PORT or 8443."),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="The proxy's host, as the clients see it.")
    ] = "127.0.0.1",
) -> None:
    """Print the variables by which AI clients find Earthflow and trust it:  eval "$(earthflow env)\""""
    settings = UpSettings()
    variables = client_variables(
        settings, client_key(settings), port or settings.port, host
    )
    for line in LINES[shell](variables, CLEARED):
        typer.echo(line)


def _bash(variables: Mapping[str, str], cleared: Iterable[str]) -> Iterable[str]:
    yield from (
        f"export {name}={shlex.quote(value)}" for name, value in variables.items()
    )
    yield f"unset {' '.join(cleared)}"


def _fish(variables: Mapping[str, str], cleared: Iterable[str]) -> Iterable[str]:
    for name, value in variables.items():
        quoted = value.replace("\\", "\\\\").replace("'", "\\'")
        yield f"set -gx {name} '{quoted}'"
    yield f"set -e {' '.join(cleared)}"


def _powershell(variables: Mapping[str, str], cleared: Iterable[str]) -> Iterable[str]:
    for name, value in variables.items():
        quoted = value.replace("'", "''")
        yield f"$env:{name} = '{quoted}'"
    yield from (
        f"Remove-Item Env:{name} -ErrorAction SilentlyContinue" for name in cleared
    )


def _docker(variables: Mapping[str, str], cleared: Iterable[str]) -> Iterable[str]:
    """For `docker run --env-file`.

    The certificate files must be mounted under the same paths.
    """
    return (f"{name}={value}" for name, value in variables.items())


def _vscode(variables: Mapping[str, str], cleared: Iterable[str]) -> Iterable[str]:
    told = {**variables, **dict.fromkeys(cleared)}  # null removes a variable
    keys = ("linux", "osx", "windows")
    settings = {
        "http.proxy": variables["HTTPS_PROXY"],
        **{f"terminal.integrated.env.{key}": told for key in keys},
    }
    return json.dumps(settings, indent=2).splitlines()


def _json(variables: Mapping[str, str], cleared: Iterable[str]) -> Iterable[str]:
    yield json.dumps({"set": variables, "unset": list(cleared)})


LINES: dict[Shell, Callable[[Mapping[str, str], Iterable[str]], Iterable[str]]] = {
    "bash": _bash,
    "fish": _fish,
    "powershell": _powershell,
    "docker": _docker,
    "vscode": _vscode,
    "json": _json,
}
