"""What each party keeps of a round beside its checkpoint: the records of its own splits, and the guest's trees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tombolo.fl_tasks.learning.trees.tree import Record, Tree
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.canonical import canonical, parse

_LARGEST = 1 << 26


def keep_records(session: Session, records: Sequence[Record]) -> None:
    """Keep this round's records; a replay finds them kept."""
    session.keep(f"records/{session.round:06d}", canonical([list(record) for record in records]))


def keep_trees(session: Session, trees: Sequence[Tree]) -> None:
    """Keep this round's trees."""
    session.keep(f"trees/{session.round:06d}", canonical([tree.document() for tree in trees]))


def kept(session: Session, what: str, rounds: int) -> list[Any]:
    """The records or trees of the first ``rounds`` rounds, as documents, in order."""
    found: list[Any] = []
    for number in range(1, rounds + 1):
        found += parse(session.area.get(f"{what}/{number:06d}") or b"[]", _LARGEST)
    return found
