"""The demos: organisations on this machine, each with its own Airflow, train one model together and predict with it."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    name: Annotated[str, typer.Argument(help="The demo's agreement: wdbc, marketing, hospitals, lending or diagnosis.")] = "wdbc",
    keep: Annotated[bool, typer.Option(help="Leave the Airflows running.")] = False,
) -> None:
    """Train and predict with several organisations' Airflows side by side; the report is .tombolo/demo*/report.json."""
    from tombolo.cli.demo.demos import DEMOS
    from tombolo.cli.demo.running import run_demo

    if name not in DEMOS:
        raise typer.BadParameter(f"there is no demo {name}; there is {', '.join(DEMOS)}")
    raise typer.Exit(run_demo(DEMOS[name], keep))


def demo_stop() -> None:
    """Stop the Airflows that earlier demos left running."""
    from tombolo.cli.demo.demos import DEMOS
    from tombolo.cli.demo.supervise import stop_registered

    typer.echo(f"stopped {sum(stop_registered(each.register) for each in DEMOS.values())} processes")
