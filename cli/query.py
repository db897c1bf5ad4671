"""`tombolo query`: ask all lenders about people from a terminal, or seal questions for the query DAG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fl_tasks.workplace import Workplace

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Ask all lenders about people, and expose nobody.")
Agreement = Annotated[str, typer.Argument(help="The agreement's name.")]
File = Annotated[
    Path | None, typer.Argument(help="CSV or Parquet with the id columns and `consent`; without it, one person is asked for here.")
]
Settings = Annotated[Path | None, typer.Option(help="Party settings; TOMBOLO_PARTY names them otherwise.")]


@app.command()
def put(agreement: Agreement, file: File = None, settings: Settings = None) -> None:
    """Seal questions and print their handle, for the trigger form of the query DAG. The file is not needed any more then."""
    from fl_tasks.workplace import Workplace

    typer.echo(_sealed(Workplace.open(agreement, settings), file))


@app.command()
def ask(agreement: Agreement, file: File = None, settings: Settings = None) -> None:
    """Ask now, from this terminal, and print the answers; the other parties answer by their own DAGs."""
    import math
    from datetime import UTC, datetime

    from rich.console import Console

    from fl_tasks.stages.abort import abort
    from fl_tasks.stages.join import join
    from fl_tasks.stages.query import propose_query
    from fl_tasks.stages.query import query as take_part
    from fl_tasks.stages.settle import settle
    from fl_tasks.waiting import Wait
    from fl_tasks.workplace import Workplace

    console = Console(stderr=True)
    place, wait = Workplace.open(agreement, settings), Wait(math.inf)
    handle, run = _sealed(place, file), f"query.terminal-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    propose_query(place, run, handle)
    with console.status("waiting for the others to join") as status:
        try:
            join(place, run, wait, approver="terminal", progress=lambda _: None)
            status.update("asking")
            take_part(place, run, wait, progress=lambda _: None)
        except BaseException as error:  # Ctrl-C too: the others wait
            abort(place, run, error, "query")
            raise
    _show(place, run)
    with console.status("settling"):
        settle(place, run, wait, progress=lambda _: None)


@app.command()
def answers(
    agreement: Agreement, run: Annotated[str, typer.Argument(help="The query's run id.")], settings: Settings = None
) -> None:
    """Print the answers of a query that the DAG has asked."""
    from fl_tasks.workplace import Workplace

    _show(Workplace.open(agreement, settings), run)


def _sealed(place: Workplace, file: Path | None) -> str:
    from fl_tasks.stages.aligned import id_columns
    from fl_tasks.stages.query import put_questions, seal_questions

    if file is not None:
        return put_questions(place, str(file.resolve()))
    given = {name: typer.prompt(name, hide_input=True) for name in id_columns(place)}
    return seal_questions(place, [{**given, "consent": typer.prompt("consent receipt")}])


def _show(place: Workplace, run: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from fl_tasks.stages.query import answers as answers_of

    table = Table(title=f"Answers of {run}", title_justify="left")
    for name in ("person", "open loans", "exposure", "shown as"):
        table.add_column(name, justify="left" if name in ("person", "shown as") else "right")
    for one in answers_of(place, run):
        table.add_row(one["id"], str(one["loans"]), f"{one['exposure']:,}", one["band"])
    Console().print(table)
