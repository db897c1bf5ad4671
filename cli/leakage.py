"""`tombolo leakage`: the leakage tables of the protocol pages, from the messages that the protocols declare."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

PAGES = {
    "alignment.md": "alignment",
    "incentives.md": "incentives",
    "ledger.md": "settlement",
    "protocols/dealer.md": "linear-dealer",
    "protocols/horizontal.md": "horizontal-logistic",
    "protocols/horizontal-mlp.md": "horizontal-mlp",
    "protocols/horizontal-trees.md": "horizontal-trees",
    "protocols/kkrt.md": "kkrt",
    "protocols/lending.md": "lending-query",
    "protocols/linear.md": "linear",
    "protocols/logistic-arbiter.md": "logistic-arbiter",
    "protocols/logistic-guest.md": "logistic-guest",
    "protocols/logistic-taylor.md": "logistic-taylor",
    "protocols/secure-aggregation.md": "secure-aggregation",
    "protocols/secureboost.md": "secureboost",
    "protocols/transfer.md": "transfer",
    "protocols/vertical-mlp.md": "vertical-mlp",
}
"""Page: whose messages it lists, by their name in :mod:`tombolo.fl_tasks.workflow.messages`; markers with a name of their own
list another's."""
_TABLE = re.compile(r"(<!-- leakage(?: ([a-z-]+))? -->\n).*?(<!-- /leakage -->)", re.DOTALL)


def leakage(docs: Annotated[Path, typer.Option(help="Folder of the pages.")] = Path("docs")) -> None:
    """Write each protocol's table of messages, protections and what their recipients learn into its page."""
    for name in PAGES:
        path = docs / name
        path.write_text(with_table(path.read_text(), name))
        typer.echo(f"Wrote {path}.")


def with_table(text: str, name: str) -> str:
    """A page with its tables between the markers made anew."""
    from tombolo.fl_tasks.workflow.messages import message_set

    return _TABLE.sub(
        lambda found: found.group(1) + message_set(found.group(2) or PAGES[name]).leakage_table() + found.group(3), text
    )
