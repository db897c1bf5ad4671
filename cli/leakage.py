"""`tombolo leakage`: the leakage tables of the protocol pages, from the messages that the protocols declare."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

PAGES = {
    "alignment.md": "fl_tasks.alignment.contract",
    "ledger.md": "fl_tasks.settlement.messages:SETTLEMENT",
    "protocols/linear.md": "fl_tasks.vertical.linear",
    "protocols/logistic-arbiter.md": "fl_tasks.vertical.arbiter_oracle",
    "protocols/logistic-guest.md": "fl_tasks.vertical.guest_held",
    "protocols/logistic-taylor.md": "fl_tasks.vertical.taylor",
    "protocols/secureboost.md": "fl_tasks.vertical.secureboost",
}
_TABLE = re.compile(r"(<!-- leakage -->\n).*?(<!-- /leakage -->)", re.DOTALL)


def leakage(docs: Annotated[Path, typer.Option(help="Folder of the pages.")] = Path("docs")) -> None:
    """Write each protocol's table of messages, protections and what their recipients learn into its page."""
    for name in PAGES:
        path = docs / name
        path.write_text(with_table(path.read_text(), name))
        typer.echo(f"Wrote {path}.")


def with_table(text: str, name: str) -> str:
    """A page with its table between the markers made anew."""
    module, _, contract = PAGES[name].partition(":")
    table = getattr(import_module(module), contract or "CONTRACT").leakage_table()
    return _TABLE.sub(lambda found: found.group(1) + table + found.group(2), text)
