"""`tombolo odometer`: what has been released, what may still be, and which run used what; and the rebuild after damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from tombolo.agreements.settings import PartySettings
    from tombolo.fl_tasks.privacy.odometer import Reading
    from tombolo.fl_tasks.privacy.totals import Use

_MOST_USERS = 10
Settings = Annotated[Path | None, typer.Option(help="Party settings file; default: TOMBOLO_PARTY.")]


class _ShowFirst(TyperGroup):
    """A group whose command ``show`` need not be named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_ShowFirst, rich_markup_mode=None, help="Show what this party has released in all, and what is left.")


@app.command()
def show(
    agreement: Annotated[str | None, typer.Argument(help="Only recipients of this agreement; default: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    settings: Settings = None,
) -> None:
    """Show what each recipient has got, over all runs and agreements. The command's name may be left out."""
    from tombolo.agreements.settings import PartySettings
    from tombolo.fl_tasks.ledger.audit.source import agreements
    from tombolo.fl_tasks.privacy.odometer import Odometer
    from tombolo.fl_tasks.privacy.populations import titles

    party = PartySettings.load(settings)
    keys = party.load_keys()
    odometer = Odometer(party.open_store(party.store), keys, party.odometer)
    named = titles(keys.vault, party, agreements(party))
    members = None if agreement is None else _members(party, agreement)
    found = [one for one in odometer.readings() if members is None or one.recipient in members]
    if as_json:
        document = {"party": party.party, "head": odometer.head(), "readings": [_document(one, named) for one in found]}
        typer.echo(json.dumps(document, indent=2))
    elif not found:
        typer.echo("Nothing is counted yet.")
    else:
        _print(found, named)


@app.command()
def rebuild(
    bundle: Annotated[list[Path], typer.Option(help="Audit bundle of a peer, whose blocks are read too; may be repeated.")] = [],  # noqa: B006
    settings: Settings = None,
) -> None:
    """Begin a new odometer after damage or a restored backup, from the blocks that the parties signed. Stop all tasks before."""
    from tombolo.agreements.agreement import Agreement
    from tombolo.agreements.settings import PartySettings
    from tombolo.fl_tasks.ledger import rebuild as work
    from tombolo.fl_tasks.ledger.audit.source import StoreSource, agreements
    from tombolo.storage.ledger.blocks import Blocks

    party = PartySettings.load(settings)
    keys, store = party.load_keys(), party.open_store(party.store)
    agreed = {name: Agreement.load(party.federations / name, plugins=party.plugins) for name in agreements(party)}
    sources = {name: StoreSource(agreement, keys, store) for name, agreement in agreed.items()}
    stated = {name: work.stated_in(source, agreed[name], party.party) for name, source in sources.items()}
    heights = {name: Blocks(store, keys.vault, name).height() for name in agreed}
    for path in bundle:
        for name, said in work.stated_in_bundle(path, agreed, party.party, party.plugins).items():
            stated[name] = {**said, **stated[name]}
            typer.echo(f"{path}: {len(said)} statements of {party.party} in blocks of {name}.")
    wrong = work.trouble(store, keys, stated)
    if wrong is None:
        typer.echo("The odometer is whole, and not older than any block that was read. Nothing was changed.")
        return
    typer.echo(f"{wrong.code}: {wrong.cause} {wrong.detail}")
    done = work.rebuild(store, keys, stated, heights)
    taken = ", ".join(f"{name} up to block {height}" for name, height in sorted(done.blocks.items())) or "no block"
    typer.echo(f"The new odometer {done.chain} begins with {done.readings} readings, from {taken}.")
    if done.kept:
        lost = f"; {done.unreadable} of its segments could not be read" if done.unreadable else ""
        typer.echo(f"The old one, {done.kept}, stays in the store and counts no more{lost}.")
    typer.echo("What was released after the last block and cannot be read any more is not counted.")


def _members(party: PartySettings, name: str) -> set[str]:
    from tombolo.agreements.agreement import Agreement

    chain = Agreement.load(party.federations / name, verify=False, plugins=party.plugins).chain
    return {member for link in chain for member in link.members}


def _document(reading: Reading, named: dict[str, str]) -> dict[str, Any]:
    from dataclasses import asdict

    last = reading.last
    return {
        **asdict(reading),
        "title": named.get(reading.population, reading.population),
        "left": reading.left,
        "last": None if last is None else last.run,
    }


def _print(found: list[Reading], named: dict[str, str]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from tombolo.storage.meters import METERS

    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=200)
    table = Table(title="What recipients have got, over all runs and agreements", title_justify="left")
    for column in ("recipient", "population", "meter"):
        table.add_column(column, overflow="fold")
    for column in ("used", "limit", "left"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("last run", overflow="fold")
    for one in found:
        amounts = (_amount(value) for value in (one.amount, one.limit, one.left))
        title = escape(named.get(one.population, f"{one.population[:12]}…"))
        table.add_row(one.recipient, title, f"{one.meter} ({METERS[one.meter].unit})", *amounts, _run(one.last))
    console.print(table)
    uses = sorted(((use, one) for one in found for use in one.uses), key=lambda pair: -_share(*pair))[:_MOST_USERS]
    most = Table(title="What used most", title_justify="left")
    for column in ("run", "kind", "agreement", "recipient", "meter"):
        most.add_column(column, overflow="fold")
    for column in ("used", "of the limit"):
        most.add_column(column, justify="right", no_wrap=True)
    for use, one in uses:
        share = f"{_share(use, one):.0%}" if one.limit else "-"
        most.add_row(use.run or "-", use.purpose, use.agreement or "-", one.recipient, one.meter, _amount(use.amount), share)
    console.print(most)


def _share(use: Use, reading: Reading) -> float:
    """What a run used of the limit; without a limit, less than with one."""
    return use.amount / reading.limit if reading.limit else -1 / (1 + use.amount)


def _run(use: Use | None) -> str:
    return "-" if use is None else use.run or use.purpose


def _amount(value: float | None) -> str:
    return "none" if value is None else f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.2f}"
