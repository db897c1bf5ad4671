"""The ``tombolo`` command line. A command imports the packages that it needs only when it is called, so ``--help`` is fast."""

from __future__ import annotations

import typer

from tombolo.cli import agreement, audit, keys, model, odometer, query
from tombolo.cli.acceptance import acceptance
from tombolo.cli.demo import demo, demo_stop
from tombolo.cli.errors import errors
from tombolo.cli.leakage import leakage
from tombolo.cli.preflight import preflight
from tombolo.cli.run_state import run_state
from tombolo.cli.simulate import simulate

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(keys.app, name="keys")
app.add_typer(agreement.app, name="agreement")
app.add_typer(audit.app, name="audit")
app.add_typer(model.app, name="model")
app.add_typer(query.app, name="query")
app.add_typer(odometer.app, name="odometer")
for command in (simulate, preflight, demo, acceptance, errors, leakage, run_state):
    app.command()(command)
app.command("demo-stop")(demo_stop)


@app.callback()
def tombolo() -> None:
    """Train one model with several organisations. No organisation gives its data away."""


def main() -> None:
    """Entry point. A coded error is printed as one line on standard error, and the exit status is 1."""
    from tombolo.storage.errors import CodedError

    try:
        app(prog_name="tombolo")
    except CodedError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None
