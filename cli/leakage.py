"""`tombolo leakage`: writes the leakage tables of the protocol pages from the messages that the protocols declare."""

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
    "what-adds-up.md": "numbers",
}
"""Pages that are not about a protocol, and the message set that each lists (named in :mod:`tombolo.fl_tasks.workflow.messages`)."""
_TABLE = re.compile(r"(<!-- leakage(?: ([a-z-]+))? -->\n).*?(<!-- /leakage -->)", re.DOTALL)


def leakage(
    docs: Annotated[
        Path, typer.Option(help="Folder of the pages whose tables are replaced; docs in a checkout.", exists=True, file_okay=False)
    ] = Path("docs"),
    plugin: Annotated[list[str], typer.Option(help="Print the tables of this distribution's protocols instead.")] = [],  # noqa: B006
) -> None:
    """Write into each protocol's page the table of its messages: how each is protected, and what its recipient learns."""
    if plugin:
        typer.echo("\n".join(foreign_tables(plugin)))
        return
    for name in pages():
        path = docs / name
        path.write_text(with_table(path.read_text(), name))
        typer.echo(f"Wrote {path}.")


def foreign_tables(plugins: list[str]) -> list[str]:
    """The leakage tables of the protocols that these distributions offer, each under the name of its message set."""
    from tombolo.agreements.protocol import GROUP, protocol_named
    from tombolo.fl_tasks.workflow.messages import sets_of
    from tombolo.storage.plugins import NoSuchPlugin, offered

    offers = [protocol_named(name, plugins) for name in offered(GROUP, plugins)]
    sets = [named for offer in offers if offer.foreign for named in sets_of(offer.protocol).items()]
    if not sets:
        raise NoSuchPlugin(f"No protocol comes from {', '.join(plugins)}.")
    return [f"{name}\n\n{messages.leakage_table()}" for name, messages in sets]


def pages() -> dict[str, str]:
    """Each page with leakage tables, and the message set of its unnamed marker. A marker with a name lists the set of that name."""
    from tombolo.agreements.protocol import GROUP, protocol_named
    from tombolo.storage.plugins import offered

    protocols = [protocol_named(name).protocol for name in offered(GROUP)]
    return {**STAGE_PAGES, **{protocol.page: protocol.name for protocol in protocols if protocol.page is not None}}


def with_table(text: str, name: str) -> str:
    """The text of a page, with the tables between its markers replaced by current ones."""
    from tombolo.fl_tasks.workflow.messages import every_set

    sets, usual = every_set(), pages()[name]
    return _TABLE.sub(lambda table: table.group(1) + sets[table.group(2) or usual].leakage_table() + table.group(3), text)
