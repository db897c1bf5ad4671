"""`tombolo run-state`: writes the page of all private objects from their declarations in the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tombolo.cli.errors import Out

if TYPE_CHECKING:
    from tombolo.fl_tasks.runtime.state import Item

_HEAD = """\
# What a party keeps

This page is for people who must know which data lies where, and for how long. After reading it, you
can say of every object in your party's private area what it holds and what deletes it.

The objects lie in the party's own store under `private/<agreement>/`, sealed to the party itself.
No other party can list or read them. An object is never overwritten.

- Objects that are *kept* stay for good: what was signed, what came out, hashes, and the
  counts behind limits over all runs.
- *Erased* objects go with [retention](ledger.md), as many days after the run's block as agreed.
- Objects *until settlement* are destroyed when the run is settled. If it never is, retention takes
  them.
- *Replaced* objects are deleted by their protocol, when a newer object, with
  another name, takes over or its terms need them no longer.

Retention also erases what lies in a run's folder and is not listed here. `tombolo run-state` writes
this page from the declarations in the code.
"""
_ENDS = {"settlement": "until settlement", "retention": "erased", "protocol": "replaced", "never": "kept"}


def run_state(out: Out = Path("docs/run-state.md")) -> None:
    """Write docs/run-state.md: for each private object, what it holds, who writes it, and how long it stays."""
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
        sections[f"Under `{name}` only"] = [item for item in items_of(protocol_named(name).protocol) if item not in common]
    return _HEAD + "".join(f"\n## {title}\n\n{_table(items)}" for title, items in sections.items() if items)


def _table(items: list[Item[Any]]) -> str:
    rows = [(_shown(item), item.about, ", ".join(item.writers()), _ENDS[item.ends]) for item in items]
    body = "".join(f"| `{name}` | {about} | {writers} | {ends} |\n" for name, about, writers, ends in sorted(rows))
    return "| object | what it holds | who writes it | how long |\n|---|---|---|---|\n" + body


def _shown(item: Item[Any]) -> str:
    """The full name of an object, with its fields written as ``<field>``."""
    return re.sub(r"\{(\w+)[^}]*\}", r"<\1>", item.place + item.name)
