"""`tombolo run-state`: the page of all that a party keeps privately, from the declarations themselves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tombolo.fl_tasks.runtime.state import Item

_HEAD = """\
# What a party keeps

For whoever must know which data lies where, and how long. After this page you can say of every
object in your party's private area what it holds and what deletes it.

The objects lie in the party's own store under `private/<agreement>/`, sealed to the party itself.
No other party can list or read them, and nothing is overwritten.

- Objects that are *kept* stay for good: what was signed, what came out, hashes, and the books that
  limits over all runs are counted by.
- *Erased* objects go with [retention](ledger.md), as many days after the run's block as agreed.
- Objects *until settlement* are destroyed when the run is settled. If it never is, retention takes
  them.
- *Replaced* objects are deleted by their protocol, when something newer takes their place or its
  terms need them no longer.

Retention also erases what lies in a run's folder and is not listed here. `tombolo run-state` writes
this page from the declarations in the code.
"""
_ENDS = {"settlement": "until settlement", "retention": "erased", "protocol": "replaced", "never": "kept"}


def run_state(out: Annotated[Path, typer.Option(help="Markdown file to write.")] = Path("docs/run-state.md")) -> None:
    """Write one table row per private object: what it holds, who writes it, and what deletes it."""
    out.write_text(page())
    typer.echo(f"Wrote {out}.")


def page() -> str:
    """The Markdown page."""
    from tombolo.agreements.protocol import GROUP, protocol_named
    from tombolo.fl_tasks.workflow.state import common_items, items_of
    from tombolo.storage.plugins import offered

    common = common_items()
    sections = {"Under every protocol": common}
    for name in offered(GROUP):
        sections[f"Under `{name}` only"] = [one for one in items_of(protocol_named(name).protocol) if one not in common]
    return _HEAD + "".join(f"\n## {title}\n\n{_table(items)}" for title, items in sections.items() if items)


def _table(items: list[Item[Any]]) -> str:
    rows = [(_shown(one), one.about, ", ".join(one.writers()), _ENDS[one.ends]) for one in items]
    body = "".join(f"| `{name}` | {about} | {writers} | {ends} |\n" for name, about, writers, ends in sorted(rows))
    return "| object | what it holds | who writes it | how long |\n|---|---|---|---|\n" + body


def _shown(item: Item[Any]) -> str:
    """The whole name, with fields as people write them."""
    return re.sub(r"\{(\w+)[^}]*\}", r"<\1>", item.place + item.name)
