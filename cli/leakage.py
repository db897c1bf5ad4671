"""`tombolo leakage`: the leakage tables of the protocol pages, from the messages that the protocols declare."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

STAGE_PAGES = {
    "alignment.md": "alignment",
    "incentives.md": "incentives",
    "ledger.md": "settlement",
    "protocols/dealer.md": "linear-dealer",
    "protocols/kkrt.md": "kkrt",
    "protocols/secure-aggregation.md": "secure-aggregation",
}
"""Pages of what is no protocol: whose messages they list, by their name in :mod:`tombolo.fl_tasks.workflow.messages`."""
_TABLE = re.compile(r"(<!-- leakage(?: ([a-z-]+))? -->\n).*?(<!-- /leakage -->)", re.DOTALL)


def leakage(
    docs: Annotated[
        Path, typer.Option(help="Folder of the pages, which are written anew; docs in a checkout.", exists=True, file_okay=False)
    ] = Path("docs"),
    plugin: Annotated[list[str], typer.Option(help="Print the tables of this distribution's protocols instead.")] = [],  # noqa: B006
) -> None:
    """Write each protocol's table of messages, protections and what their recipients learn into its page."""
    if plugin:
        typer.echo("\n".join(foreign_tables(plugin)))
        return
    for name in pages():
        path = docs / name
        path.write_text(with_table(path.read_text(), name))
        typer.echo(f"Wrote {path}.")


def foreign_tables(plugins: list[str]) -> list[str]:
    """The tables of all message sets of the protocols that these distributions offer, each under its name."""
    from tombolo.agreements.protocol import GROUP, protocol_named
    from tombolo.fl_tasks.workflow.messages import sets_of
    from tombolo.storage.plugins import NoSuchPlugin, offered

    offers = [protocol_named(name, plugins) for name in offered(GROUP, plugins)]
    sets = [named for offer in offers if offer.foreign for named in sets_of(offer.protocol).items()]
    if not sets:
        raise NoSuchPlugin(f"No protocol comes from {', '.join(plugins)}.")
    return [f"{name}\n\n{messages.leakage_table()}" for name, messages in sets]


def pages() -> dict[str, str]:
    """All pages with leakage tables, by whose messages they list first; markers with a name of their own list another's."""
    from tombolo.agreements.protocol import GROUP, protocol_named
    from tombolo.storage.plugins import offered

    protocols = [protocol_named(name).protocol for name in offered(GROUP)]
    return {**STAGE_PAGES, **{protocol.page: protocol.name for protocol in protocols if protocol.page is not None}}


def with_table(text: str, name: str) -> str:
    """A page with its tables between the markers made anew."""
    from tombolo.fl_tasks.workflow.messages import every_set

    sets, usual = every_set(), pages()[name]
    return _TABLE.sub(lambda table: table.group(1) + sets[table.group(2) or usual].leakage_table() + table.group(3), text)
