"""`tombolo query`: ask all lenders about people from a terminal, or store sealed questions for the query DAG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tombolo.fl_tasks.runtime.context import PartyContext

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Ask all lenders about people without telling them about whom.")
Agreement = Annotated[str, typer.Argument(help="The agreement's name.")]
File = Annotated[
    Path | None,
    typer.Argument(help="CSV or Parquet file with the id columns and `consent`. Without it, you type one person's id here."),
]
Settings = Annotated[Path | None, typer.Option(help="Party settings file; default: TOMBOLO_PARTY.")]


@app.command()
def put(agreement: Agreement, file: File = None, settings: Settings = None) -> None:
    """Store sealed questions and print their handle for the trigger form of the query DAG. After that, the file is not needed."""
    from tombolo.fl_tasks.runtime.context import PartyContext

    typer.echo(_sealed(PartyContext.open(agreement, settings), file))


@app.command()
def ask(agreement: Agreement, file: File = None, settings: Settings = None) -> None:
    """Ask now, from this terminal, and print the answers. The other parties answer through their own DAGs."""
    import math
    from datetime import UTC, datetime

    from rich.console import Console

    from tombolo.fl_tasks.protocols.lending_query.asking import propose_query
    from tombolo.fl_tasks.protocols.lending_query.asking import query as take_part
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.waiting import Wait
    from tombolo.fl_tasks.workflow.abort import abort
    from tombolo.fl_tasks.workflow.join import join
    from tombolo.fl_tasks.workflow.settle import settle

    console = Console(stderr=True)
    context, wait = PartyContext.open(agreement, settings), Wait(math.inf)
    handle, run = _sealed(context, file), f"query.terminal-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    propose_query(context, run, handle)
    with console.status("waiting for the others to join") as status:
        try:
            join(context, run, wait, approver="terminal", progress=lambda _: None)
            status.update("asking")
            take_part(context, run, wait, progress=lambda _: None)
        except BaseException as error:  # also at Ctrl-C, because the other parties are waiting
            abort(context, run, error, "query")
            raise
    _show(context, run)
    with console.status("settling"):
        settle(context, run, wait, progress=lambda _: None)


@app.command()
def answers(
    agreement: Agreement, run: Annotated[str, typer.Argument(help="The query's run id.")], settings: Settings = None
) -> None:
    """Print the answers of a query that was asked through the DAG."""
    from tombolo.fl_tasks.runtime.context import PartyContext

    _show(PartyContext.open(agreement, settings), run)


def _sealed(context: PartyContext, file: Path | None) -> str:
    from tombolo.fl_tasks.protocols.lending_query.asking import put_questions, seal_questions
    from tombolo.fl_tasks.tables.columns import id_columns

    if file is not None:
        return put_questions(context, str(file.resolve()))
    given = {name: typer.prompt(name, hide_input=True) for name in id_columns(context)}
    return seal_questions(context, [{**given, "consent": typer.prompt("consent receipt")}])


def _show(context: PartyContext, run: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from tombolo.fl_tasks.protocols.lending_query.asking import answers as answers_of

    table = Table(title=f"Answers of {run}", title_justify="left")
    for name in ("person", "open loans", "exposure", "shown as"):
        table.add_column(name, justify="left" if name in ("person", "shown as") else "right")
    for answer in answers_of(context, run):
        table.add_row(answer["id"], str(answer["loans"]), f"{answer['exposure']:,}", answer["band"])
    Console().print(table)
