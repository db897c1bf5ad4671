"""`tombolo audit`: verify, show and export the record of a party."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tombolo.fl_tasks.ledger.audit.findings import Audit
    from tombolo.fl_tasks.ledger.audit.history import History
    from tombolo.fl_tasks.ledger.audit.source import StoreSource
    from tombolo.fl_tasks.ledger.audit.verify import Ends

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Verify, show and export a party's record.")
Settings = Annotated[Path | None, typer.Option(help="Party settings file; default: TOMBOLO_PARTY.")]
Copy = Annotated[
    str | None, typer.Option(help="Address of a copy of this party's store, for example a backup. It is read instead of the store.")
]
Which = Annotated[str | None, typer.Option(help="Name of the agreement; not needed if the party has only one.")]


@app.command()
def verify(
    agreement: Annotated[
        str | None, typer.Argument(help="Verify only this agreement; default: all agreements of this party.")
    ] = None,
    settings: Settings = None,
    store: Copy = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Verify this bundle instead of a store; needs no settings, keys or store.")
    ] = None,
    plugin: Annotated[list[str], typer.Option(help="With --bundle: a distribution that the protocol may come from.")] = [],  # noqa: B006
) -> None:
    """Verify the record in a store or in a bundle. Prints what was checked, and each error that was found."""
    if bundle is not None:
        sound = _verify_bundle(bundle, plugin)
    else:
        from tombolo.fl_tasks.ledger.audit.verify import verify_store
        from tombolo.storage.errors import CodedError

        sound = True
        for name in [agreement] if agreement else _names(settings):
            try:
                source = _source(name, settings, store)
            except CodedError as error:  # the other agreements are still verified
                typer.echo(f"error: {error}", err=True)
                sound = False
                continue
            audit, ends = verify_store(source)
            _print_audit(f"Agreement {name}, party {source.party}, store {source.store.url}", source.agreement.digest, audit, ends)
            sound = sound and not audit.findings
    if not sound:
        raise typer.Exit(1)


@app.command()
def show(
    run: Annotated[str | None, typer.Argument(help="The run's id; without it, all runs are listed.")] = None,
    agreement: Which = None,
    settings: Settings = None,
    store: Copy = None,
) -> None:
    """List all runs, or show one run: its events, artifacts, metrics, contributions, rewards, block and findings."""
    from tombolo.fl_tasks.ledger.audit.history import histories, history

    source = _source(_only(agreement, settings), settings, store)
    if run is None:
        runs, unread = histories(source)
        _print_runs(list(runs.values()))
    else:
        past, unread = history(source, run)
        _print_run(past)
    if unread:
        typer.echo(f"{len(unread)} objects could not be read. Run `tombolo audit verify` to see which, and why.")
        raise typer.Exit(1)


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="File to write (.zip); an existing file is never overwritten.")],
    agreement: Which = None,
    settings: Settings = None,
    store: Copy = None,
) -> None:
    """Write a bundle for an auditor: the signed documents in readable form, and a report (report.html) to read and print."""
    from tombolo.fl_tasks.ledger.audit.bundle import export as write
    from tombolo.fl_tasks.ledger.audit.report import page, several
    from tombolo.fl_tasks.ledger.audit.verify import verify_store

    source = _source(_only(agreement, settings), settings, store)
    audit, ends = verify_store(source)
    count = write(source, page(source, audit, ends), out)
    typer.echo(
        f"Wrote {out}: {count} files. It shows addresses, times, hashes, sizes, metrics and names, but no data and no secret key."
    )
    if audit.findings:
        typer.echo(f"The audit found {several(len(audit.findings), 'things')} wrong. The report lists them.")
        raise typer.Exit(1)


# -- what is read ---------------------------------------------------------------------------------------------------------------


def _names(settings: Path | None) -> list[str]:
    from tombolo.agreements.settings import PartySettings
    from tombolo.fl_tasks.ledger.audit.source import agreements

    return agreements(PartySettings.load(settings))


def _only(agreement: str | None, settings: Path | None) -> str:
    names = [agreement] if agreement else _names(settings)
    if len(names) != 1:
        raise typer.BadParameter(f"this party has {len(names)} agreements ({', '.join(names)}); name one", param_hint="--agreement")
    return names[0]


def _source(name: str, settings: Path | None, store: str | None) -> StoreSource:
    from tombolo.agreements.settings import PartySettings
    from tombolo.fl_tasks.ledger.audit.source import StoreSource

    known = _names(settings)
    if name not in known:
        raise typer.BadParameter(f"this party has no agreement {name}; it has {', '.join(known) or 'none'}")
    return StoreSource.open(name, PartySettings.load(settings), store)


def _verify_bundle(path: Path, plugins: list[str]) -> bool:
    from tombolo.fl_tasks.ledger.audit.bundle import opened
    from tombolo.fl_tasks.ledger.audit.findings import Audit
    from tombolo.fl_tasks.ledger.audit.verify import verify_documents

    audit = Audit()
    with opened(audit, path, plugins) as source:
        _, ends = verify_documents(audit, source)
        title = f"Agreement {source.agreement.name}, bundle of {source.party}, exported {source.exported}"
        _print_audit(title, source.agreement.digest, audit, ends)
    return not audit.findings


# -- what is printed ------------------------------------------------------------------------------------------------------------


def _print_audit(title: str, digest: str, audit: Audit, ends: Ends) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from tombolo.fl_tasks.ledger.audit.report import counted

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{escape(title)}[/bold]\ndigest {digest}")
    table = Table("what", "looked at", "findings")
    for part, counts in audit.counts.items():
        bad = sum(finding.part == part for finding in audit.findings)
        table.add_row(part, counted(counts), str(bad) if bad else "none")
    console.print(table)
    for finding in audit.findings:
        console.print(f"FINDING  {escape(finding.name)}: {finding.code} {escape(finding.what)}")
    console.print(f"The last segment of the record is {ends.segment} {ends.segment_digest}")
    console.print(f"The last block is {ends.height} {ends.block}. Compare it with the last block of another party.")


def _print_runs(runs: list[History]) -> None:
    from rich.table import Table

    from tombolo.fl_tasks.ledger.audit.report import size

    table = Table(header_style="bold")
    table.add_column("run", no_wrap=True, min_width=max((len(history.run) for history in runs), default=0))
    for column in ("kind", "began (UTC)", "state", "metrics", "sent", "received"):
        table.add_column(column, overflow="fold")
    for history in runs:
        metrics = " ".join(f"{name}={value:.4f}" for name, value in history.metrics.items())
        traffic = (f"{part.count:,} ({size(part.bytes)})" for part in (history.total("sent"), history.total("received")))
        table.add_row(history.run or "-", history.kind, _time(history.began), history.state, metrics, *traffic)
    _console().print(table)


def _print_run(history: History) -> None:
    from rich.markup import escape
    from rich.table import Table

    from tombolo.fl_tasks.ledger.audit.history import plainly

    console = _console()
    console.print(f"[bold]Run {escape(history.run)}[/bold]: {history.kind}, {history.state}")
    events = Table("when (UTC)", "what", "about", "facts", title="What happened", title_justify="left")
    for event in history.events:
        events.add_row(_time(event["at"]), event["kind"], escape(plainly(event["subject"])), escape(plainly(event["body"])))
    console.print(events)
    console.print(_traffic(history))
    if history.block is not None:
        _print_block(console, history, history.block)
    for event in history.of_kind("finding"):
        body = event["body"]
        console.print(f"FINDING  with {escape(event['subject'])}: {body['code']}", soft_wrap=True)
        for address in body.get("addresses", []):
            console.print(f"         {escape(address)}", soft_wrap=True)
    for party, faces in history.evidence.items():
        text = f"PROOF    {party} signed two different statements about the same thing: {faces}"
        console.print(escape(text), soft_wrap=True)


def _console() -> Any:
    """A console that is 200 columns wide if the output is not a terminal, so that long names are not cut."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=200)


def _traffic(history: History) -> Any:
    from rich.table import Table

    from tombolo.fl_tasks.ledger.audit.report import size

    table = Table(title="Artifacts", title_justify="left")
    for column in ("", "peer", "message"):
        table.add_column(column, overflow="fold")
    for column in ("artifacts", "bytes", "rows"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("protection", overflow="fold")
    for (book, peer, message), part in sorted(history.traffic.items(), key=lambda item: (item[0][0] != "sent", item[0])):
        way = "to" if book == "sent" else "from"
        kinds = ", ".join(sorted(part.kinds))
        table.add_row(way, peer, message, f"{part.count:,}", size(part.bytes), f"{part.rows:,}", kinds)
    return table


def _print_block(console: Any, history: History, block: Mapping[str, Any]) -> None:
    from rich.table import Table

    from tombolo.fl_tasks.ledger.audit.history import shares
    from tombolo.fl_tasks.ledger.audit.report import size
    from tombolo.storage.canonical import digest

    console.print(f"Block {block['height']} {digest(block)}, signed by {', '.join(history.signers)}", soft_wrap=True)
    pairs = Table("pair", "artifacts", "bytes", "booked differently")
    for pair in block["pairs"]:
        facts = [f"{pair['artifacts']:,}", size(pair["bytes"]), str(pair["unmatched"])] if "root" in pair else ["disputed", "", ""]
        pairs.add_row(" and ".join(pair["parties"]), *facts)
    console.print(pairs)
    paid = shares(block)
    if paid:
        table = Table("party", "Shapley value", "leave-one-out", "share of data", "paid", title="Contributions and rewards")
        for party, values, money in paid:
            shown = (values.get(name) for name in ("shapley", "leave_one_out", "volume"))
            table.add_row(party, *("" if value is None else f"{value:.4f}" for value in shown), money)
        console.print(table)


def _time(moment: str) -> str:
    return moment[:19].replace("T", " ")
