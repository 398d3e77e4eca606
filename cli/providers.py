"""`earthflow providers`: the hosts whose TLS is opened, and the calls that are read
there.
"""

import json

import typer

from cli.errors import BAD_CONFIGURATION, CommandError
from cli.output import Output, emit_table
from cli.settings import UpSettings
from contract.providers import BadProviders, Entry
from contract.providers import providers as listed


def providers(output: Output = "table") -> None:
    """List the AI providers: their hosts, and the wire formats that are read there.

    Calls of other paths are `unknown_path`.
    """
    try:
        entries = listed(UpSettings().providers)
    except BadProviders as error:
        raise CommandError(str(error), BAD_CONFIGURATION) from None
    if output == "json":
        found = [
            {
                "name": one.name,
                "hosts": one.hosts,
                "refusal": one.refusal,
                "paths": dict(one.paths),
            }
            for one in entries
        ]
        typer.echo(json.dumps(found))
        return
    emit_table(
        "Opened and read",
        ("provider", "hosts", "formats"),
        [row(entry) for entry in entries],
    )


def row(entry: Entry) -> tuple[str, str, str]:
    """A provider as the table shows it."""
    return (
        entry.name,
        ", ".join(entry.hosts),
        ", ".join(dict.fromkeys(format for _, format in entry.paths)) or "none",
    )
