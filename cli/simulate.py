"""`tombolo simulate`: runs all parties of an agreement as processes on this machine, with directory stores, without Airflow."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tombolo.cli.simulation.driver import Outcome
    from tombolo.cli.simulation.layout import Layout


def simulate(
    agreement: Annotated[Path, typer.Argument(help="An agreement's folder, or its agreement.yaml; signatures are not needed.")],
    data: Annotated[
        list[str], typer.Option(help="PARTY=FILE (.parquet or .csv). A role name works too if only one party has the role.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for stores, logs and report.json: new, empty, or made by an earlier simulation.")
    ],
    split: Annotated[
        Path | None, typer.Option(help="Table with the id columns and a column `set` with the values train and test.")
    ] = None,
    set_: Annotated[list[str], typer.Option("--set", help="PARAMETER=VALUE, within the limits of the agreement.")] = [],  # noqa: B006
    plugin: Annotated[list[str], typer.Option(help="A distribution that all parties trust. Repeat the option for several.")] = [],  # noqa: B006
) -> None:
    """Train an agreement's model with all parties on this machine. Compare it with the pooled model and with one party alone.

    For a lending agreement, build an index and ask it the questions in the guest's table.
    """
    from rich.console import Console

    from tombolo.cli.simulation.driver import RunFailed
    from tombolo.cli.simulation.layout import Misuse
    from tombolo.cli.simulation.report import show
    from tombolo.storage.errors import CodedError

    console = Console()
    try:
        report = simulated(agreement, _pairs(data, "--data", Path), _pairs(set_, "--set", _value), split, out, console, plugin)
    except Misuse as error:
        raise typer.BadParameter(str(error)) from None
    except (RunFailed, CodedError) as error:
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(1) from None
    if "queries" in report:
        from tombolo.cli.simulation.lending import show
    show(report, console)
    console.print(f"Report: {out / 'report.json'}", highlight=False, soft_wrap=True)


def simulated(
    agreement: Path,
    data: dict[str, Path],
    choices: dict[str, Any],
    split: Path | None,
    out: Path,
    console: Any,
    plugins: Collection[str] = (),
) -> dict[str, Any]:
    """Lay out the parties, run them and compare. Writes and returns the report. Raises Misuse, RunFailed or a coded error."""
    from tombolo.cli.simulation.display import progress
    from tombolo.cli.simulation.driver import drive
    from tombolo.cli.simulation.layout import assign, lay_out
    from tombolo.cli.simulation.report import write
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.workflow.join import invite
    from tombolo.storage.roles import GUEST, INITIATORS

    laid = lay_out(agreement, data, split, out, plugins)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    if laid.terms.task.descriptor.family == "query":
        from tombolo.cli.simulation.lending import build_and_ask

        questions = assign(laid.roles, data)[next(party for party, role in laid.roles.items() if role == GUEST)]
        report = build_and_ask(laid, questions, choices, stamp, console)
        write(report, out / "report.json")
        return report
    initiator = next(party for party, role in laid.roles.items() if role in INITIATORS)
    run = f"simulated-{stamp}"
    parameters = invite(PartyContext.open(laid.agreement, laid.settings[initiator]), run, "train", choices).parameters
    began = time.monotonic()
    with progress(console, laid.roles, int(parameters["rounds"] or 0)) as listen:
        outcomes = drive(laid.settings, laid.agreement, run, listen)
    report = _report(laid, initiator, run, outcomes, time.monotonic() - began)
    write(report, out / "report.json")
    return report


def _report(laid: Layout, initiator: str, run: str, outcomes: dict[str, Outcome], total: float) -> dict[str, Any]:
    from tombolo.cli.simulation.report import STAGES, build
    from tombolo.fl_tasks.workflow.comparison import compare

    compared = compare(laid.agreement, laid.settings, run)
    seconds = {stage: outcomes[initiator].seconds[stage] for stage in STAGES}
    trained = outcomes[initiator].results["train"]
    return build(
        agreement=laid.agreement,
        protocol=laid.terms.task.protocol,
        run=run,
        compared=compared,
        rounds=trained["round"],
        losses=trained.get("loss") or [],
        seconds={**seconds, "total": total},
        settlement=outcomes[initiator].results["settle"],
        bytes_sent={party: sum(outcome.bytes_to.values()) for party, outcome in outcomes.items()},
        artifacts_sent={party: outcome.artifacts for party, outcome in outcomes.items()},
        parties={
            party: {"role": laid.roles[party], "start_seconds": outcome.seconds["open"], "cpu_seconds": outcome.cpu}
            for party, outcome in outcomes.items()
        },
    )


def _pairs(given: list[str], option: str, convert: Any) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise typer.BadParameter(f"{option} needs NAME=VALUE, not {text!r}")
        if name in pairs:
            raise typer.BadParameter(f"{option} names {name} twice")
        pairs[name] = convert(value)
    return pairs


def _value(text: str) -> Any:
    """A parameter's value, read as YAML: a number, true or false, or text."""
    import yaml

    return yaml.safe_load(text)
