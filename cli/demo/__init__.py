"""The demo: three organisations on this machine, each with its own Airflow, train one model together and predict with it."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(keep: Annotated[bool, typer.Option(help="Leave the three Airflows running.")] = False) -> None:
    """Train and predict with three organisations' Airflows side by side; the report is .tombolo/demo/report.json."""
    from cli.demo.running import run_demo

    raise typer.Exit(run_demo(keep))


def demo_stop() -> None:
    """Stop the Airflows that an earlier demo left running."""
    from cli.demo.running import register
    from cli.demo.supervise import stop_registered

    typer.echo(f"stopped {stop_registered(register())} processes")
