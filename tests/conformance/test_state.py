"""What a party keeps is what is declared: every object in one list, its page current, and nothing stored past the declarations."""

from __future__ import annotations

import re
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from tombolo import cli, fl_tasks, operators, plugins
from tombolo.agreements.protocol import GROUP, protocol_named
from tombolo.cli.run_state import page
from tombolo.fl_tasks.runtime.state import STAGE, Item
from tombolo.fl_tasks.workflow.state import declared, every_item, items_of
from tombolo.storage.plugins import offered
from tombolo.storage.roles import AGGREGATOR, ARBITER, EVERYONE, HOLDERS

FOLDER = Path(fl_tasks.__file__).parent
ROOT = FOLDER.parents[1]
ITEMS = every_item()


def test_the_page_is_what_is_declared() -> None:
    assert (Path(__file__).parents[2] / "docs" / "run-state.md").read_text() == page(), "run `tombolo run-state`"


def test_no_declaration_is_missing() -> None:
    names = [path.relative_to(ROOT).with_suffix("") for path in FOLDER.rglob("*.py") if path.name != "__init__.py"]
    found = [value for name in names for value in vars(import_module(".".join(name.parts))).values() if isinstance(value, Item)]
    assert set(found) == set(ITEMS)


@pytest.mark.parametrize("name", offered(GROUP))
def test_a_name_means_one_thing_under_a_protocol(name: str) -> None:
    """A stage's objects may be called like a party of a run's family (``admitted/<party>``); the run's come first."""
    items = items_of(protocol_named(name).protocol)
    assert max(Counter(one.place + one.name for one in items).values()) == 1
    for one in items:
        whole = re.sub(r"\{[^}:]*:?([^}]*)\}", lambda match: "000001" if match[1] else "a", one.place + one.name)
        assert declared(items, whole) is one or one.place == STAGE, whole
        assert [other.name for other in items if other.pattern().fullmatch(whole)] == [one.name]


@pytest.mark.parametrize("item", ITEMS, ids=lambda one: one.name)
def test_a_declaration_is_plain(item: Item[object]) -> None:
    assert item.about.endswith(".") and item.about[0].isupper()
    assert item.writers() and set(item.writers()) <= {*HOLDERS, ARBITER, AGGREGATOR, EVERYONE}


def test_nothing_is_stored_past_the_declarations() -> None:
    """Only books, votes and the odometer, which is of no agreement, are reached as a bare area."""
    bare = re.compile(r"run_area\(|private\.area\(|private\.(keep|get)\(|PrivateArea\(")
    found = {
        path.relative_to(Path(package.__file__ or "").parents[1]).as_posix()
        for package in (fl_tasks, operators, cli, plugins)
        for path in Path(package.__file__ or "").parent.rglob("*.py")
        if bare.search(path.read_text())
    }
    assert {one.removeprefix("tombolo/") for one in found} == {
        f"fl_tasks/{one}.py"
        for one in ("ledger/rebuild", "privacy/odometer", "runtime/context", "runtime/state", "workflow/settle")
    }
