"""The demos: several organisations run on this machine, each with its own Airflow, and train one model together."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    name: Annotated[str, typer.Argument(help="The demo: wdbc, marketing, hospitals, lending or diagnosis.")] = "wdbc",
    keep: Annotated[bool, typer.Option(help="Keep the Airflows running after the demo.")] = False,
) -> None:
    """Train and predict with several organisations, each with its own Airflow. Writes .tombolo/demo*/report.json."""
    from tombolo.cli.demo.demos import DEMOS
    from tombolo.cli.demo.running import run_demo

    if name not in DEMOS:
        raise typer.BadParameter(f"there is no demo {name}; the demos are {', '.join(DEMOS)}")
    raise typer.Exit(run_demo(DEMOS[name], keep))


def demo_stop() -> None:
    """Stop the Airflows of earlier demos that are still running."""
    from tombolo.cli.demo.demos import DEMOS
    from tombolo.cli.demo.supervise import stop_registered

    typer.echo(f"stopped {sum(stop_registered(each.register) for each in DEMOS.values())} processes")
