"""What lies in a party's private area after whole lives of agreements: declared, by whom it is declared for, erased or kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.federation import quiet
from tests.fl_tasks.workflow.lives import LIVES
from tombolo.fl_tasks.workflow.retain import retain
from tombolo.fl_tasks.workflow.state import declared, items_of

KEPT = (
    "manifest",
    "invitation",
    "join",
    "closing",
    "answers",
    "findings/",
    "admitted/",
    "signatures/",
    "evaluation",
    "gate",
    "settled",
    "settle/",
    "books/",
)
"""What stays of a run's own objects, by how their names begin; pinned, apart from the declarations."""
ELSEWHERE = {
    "models": True,
    "parts": True,
    "history": True,
    "ledger": True,
    "monitoring": True,
    "live": True,
    "predictions": False,
    "questions": False,
    "answers": False,
}
"""Whether objects in the other folders stay."""
DESTROYED = ("secret", "seeds", "own-seeds/")
"""What a settlement destroys."""


def stays(name: str) -> bool:
    folder, _, below = name.partition("/")
    return below.partition("/")[2].startswith(KEPT) if folder == "runs" else ELSEWHERE[folder]


@pytest.mark.slow
@pytest.mark.parametrize("life", LIVES)
def test_every_object_is_declared_and_ends_as_it_always_did(tmp_path, life):
    made = LIVES[life](tmp_path)
    for party, role in made.parties.items():
        context = made.context(party)
        items, names = items_of(context.terms.task.descriptor), context.private.names()
        assert [name for name in names if declared(items, name) is None] == []
        assert {name: role for name in names if not declared(items, name).written_by(role)} == {}
        assert not [name for name in names if name.startswith("runs/") and name.split("/", 2)[2].startswith(DESTROYED)]
        retain(context, datetime.now(UTC) + timedelta(days=60), quiet)
        left = set(context.private.names())
        runs = {name.split("/")[1] for name in names if name.startswith("runs/")}
        assert left - set(names) == {f"erased/{run}" for run in runs}
        assert {name: name in left for name in names} == {name: stays(name) for name in names}
