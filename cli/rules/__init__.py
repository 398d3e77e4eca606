"""`earthflow rules …`: what an author of rules needs. Works offline, on the shipped rules and the files one names; only layers are
control's.
"""

import typer

from cli.rules import attempt, check, compare, exceptions, layers, listing, replay

app = typer.Typer(
    no_args_is_help=True, help="Write, check and try rules.", rich_markup_mode=None
)
app.command()(check.lint)
app.command()(check.test)
app.command(name="try")(attempt.try_)
app.command()(attempt.explain)
app.command()(compare.diff)
app.command()(compare.bench)
app.command()(listing.show)
app.command(name="schema")(listing.schema_)
app.command(name="except")(exceptions.except_)
app.command()(replay.replay)
app.command()(layers.put)
app.command()(layers.get)
app.command()(layers.history)
app.command()(layers.revert)
app.command()(layers.layers)
