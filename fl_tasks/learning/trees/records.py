"""What each party keeps of a round besides its checkpoint: the records of its own splits, and the guest's trees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tombolo.fl_tasks.learning.trees.state import RECORDS, TREES
from tombolo.fl_tasks.learning.trees.tree import SplitRecord, Tree
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.runtime.state import Item


def keep_records(session: Session, records: Sequence[SplitRecord]) -> None:
    """Keep this round's records; in a replay they are kept already."""
    session.state.keep(RECORDS.of(session.round), [list(record) for record in records])


def keep_trees(session: Session, trees: Sequence[Tree]) -> None:
    """Keep this round's trees."""
    session.state.keep(TREES.of(session.round), [tree.document() for tree in trees])


def kept(session: Session, what: Item[list[Any]], rounds: int) -> list[Any]:
    """The RECORDS or TREES of the first ``rounds`` rounds, as documents, in order."""
    return [document for number in range(1, rounds + 1) for document in session.state.get(what.of(number)) or []]
