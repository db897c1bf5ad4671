"""Scores of aligned rows with boosted trees: hosts say which way rows go at their splits, and the guest adds up leaves.

There are two forms, and the terms choose one. With ``one-message`` every host sends the directions of all rows at all its splits,
in one message per batch. The guest then also learns directions at splits that a row never comes to. With ``level-wise`` the guest
asks level by level, and only about rows that come to a split. It learns only these directions, but the hosts learn which rows come
to which of their splits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.terms import BoostingTerms
from tombolo.fl_tasks.learning.trees.bins import Codes
from tombolo.fl_tasks.learning.trees.part import TreePart
from tombolo.fl_tasks.learning.trees.tree import LEAF, MOST_NODES, Bools, directions, margins
from tombolo.fl_tasks.learning.vertical.messages import TOTAL
from tombolo.fl_tasks.learning.vertical.scoring import WrongScoreCount
from tombolo.fl_tasks.protocols.secureboost.messages import LONGEST_MASK, bytes_of, packed, unpacked
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError
from tombolo.storage.meters import ROWS
from tombolo.storage.roles import GUEST, HOST
from tombolo.storage.schema import Disclosed, Message, MessageSet, Public

Floats = npt.NDArray[np.float64]
BATCH = 65_536

MESSAGES = MessageSet(
    "tree-scoring",
    Message(
        "directions",
        HOST,
        GUEST,
        {
            "record": Public("int64", "the number of one of the host's splits"),
            "left": Disclosed(
                "binary",
                "the way of every row at the split",
                "one bit per row and split; boosting.prediction",
                ROWS,
                longest=LONGEST_MASK,
            ),
        },
        learns="which way every row goes at every split of the host, also at splits that the row never comes to",
        step="directions",
        limit="only if the terms say one-message; only rows that the agreement allows to score",
        rows=MOST_NODES,
    ),
    Message(
        "visit",
        GUEST,
        HOST,
        {
            "record": Disclosed("int64", "the splits that rows have come to", "splits of one level", ROWS),
            "rows": Disclosed("binary", "which rows have come there", "one bit per row and split", ROWS, longest=LONGEST_MASK),
        },
        learns="which rows come to which of the host's own splits",
        step="visit",
        limit="only if the terms say level-wise",
        rows=MOST_NODES,
    ),
    Message(
        "turned",
        HOST,
        GUEST,
        {
            "record": Public("int64", "the number of one of the host's splits"),
            "left": Disclosed("binary", "the way of the rows that came", "one bit per visiting row", ROWS, longest=LONGEST_MASK),
        },
        learns="which way the asked rows go; nothing about other rows",
        step="visit",
        limit="only if the terms say level-wise",
        rows=MOST_NODES,
    ),
    TOTAL,
)


class ForeignVisit(CodedError):
    code = "TMB-SCORE-003"
    cause = "The guest asks about a split that this party does not have, or about rows that are not in the batch."
    remedy = "Publish and predict with the model of a single run, so that both parties use the same version of the model."


def exchange_scores(session: Session, part: TreePart, x: Codes, recipients: Iterable[str]) -> Floats | None:
    """Give every recipient the margins of each row of bin numbers ``x``: shape (rows,), or (rows, classes) for several classes.

    Every data party calls it once per stage with the same recipients. Returns None at other parties. Raises WrongScoreCount and
    :class:`ForeignVisit`.
    """
    boosting, wanted = session.terms.task.section(BoostingTerms), list(recipients)
    assert boosting is not None
    stepwise = boosting.prediction == "level-wise"
    total: Floats = np.zeros((0, 1))
    pieces: list[Floats] = []
    for number, start in enumerate(range(0, max(len(x), 1), BATCH)):
        codes = x[start : start + BATCH]
        if session.role == GUEST:
            ways = _visit(session, part, codes, number) if stepwise else _gather(session, part, codes, number)
            pieces.append(margins(part.trees, part.base, ways, len(codes)))
        elif stepwise:
            _serve(session, part, codes, number)
        else:
            session.within(number)
            lefts = [packed(left) for left in directions(part.records, codes)]
            session.send("directions", record=list(range(len(lefts))), left=lefts)
    session.within(None)
    if session.role == GUEST:
        total = np.concatenate(pieces)
        for party in wanted:
            if party != session.me:
                session.send("total", party, score=total.ravel())
    elif session.me in wanted:
        total = _total(session, len(x), boosting.classes if boosting.objective == "softmax" else 1)
    if session.me not in wanted:
        return None
    return total[:, 0] if total.shape[1] == 1 else total


def _total(session: Session, rows: int, outputs: int) -> Floats:
    score = session.values(session.receive("total", session.guest, rows * outputs), "score").to_numpy(zero_copy_only=False)
    if len(score) != rows * outputs or not np.isfinite(score).all():
        raise WrongScoreCount(f"{len(score)} scores for {rows} rows.", party=session.guest)
    return np.asarray(score, dtype=np.float64).reshape(rows, outputs)


def _gather(session: Session, part: TreePart, codes: Codes, batch: int) -> list[Bools]:
    """The form one-message: the directions of all rows at all parties, in the order in which the trees number the parties."""
    ways = [directions(part.records, codes)]
    for position, party in enumerate(part.parties[1:], start=1):
        session.within(batch)
        table = session.receive("directions", party, longest=bytes_of(len(codes)))
        lefts = session.values(table, "left").to_pylist()
        needed = _splits(part, position)
        if session.values(table, "record").to_pylist() != list(range(len(lefts))) or len(lefts) < needed:
            raise WrongScoreCount(
                f"Directions of {len(lefts)} splits came; the trees have {needed} splits of this party.", party=party
            )
        ways.append(_matrix(lefts, [len(codes)] * len(lefts), party, len(codes)))
    return ways


def _splits(part: TreePart, position: int) -> int:
    """How many records of a party the trees need."""
    named = (record for tree in part.trees for party, record in zip(tree.party, tree.record, strict=True) if party == position)
    return 1 + max(named, default=-1)


def _matrix(lefts: Sequence[bytes], sizes: Sequence[int], party: str, width: int) -> Bools:
    """The directions as a matrix (splits, rows). Raises WrongScoreCount if they are for another number of rows."""
    matrix = np.zeros((len(lefts), width), dtype=np.bool_)
    for index, (data, size) in enumerate(zip(lefts, sizes, strict=True)):
        left = unpacked(data, size)
        if left is None:
            raise WrongScoreCount("The directions are for another number of rows.", party=party)
        matrix[index, :size] = left
    return matrix


def _visit(session: Session, part: TreePart, codes: Codes, batch: int) -> list[Bools]:
    """The form level-wise: walk down all trees at once, and ask hosts about the rows that are at their splits."""
    rows = len(codes)
    counts = [_splits(part, position) for position in range(1, len(part.parties))]
    ways = [directions(part.records, codes), *(np.zeros((count, rows), dtype=np.bool_) for count in counts)]
    at = [np.zeros(rows, dtype=np.int64) for _ in part.trees]
    for level in range(part.depth):
        asked = _frontier(part, at, ways[0])
        session.within(batch * part.depth + level)
        for position, party in enumerate(part.parties[1:], start=1):
            visits = asked[position]
            session.send("visit", party, record=[record for record, _, _, _ in visits], rows=[packed(mask) for *_, mask in visits])
        for position, party in enumerate(part.parties[1:], start=1):
            visits = asked[position]
            sizes = [int(mask.sum()) for *_, mask in visits]
            table = session.receive("turned", party, len(visits), bytes_of(max(sizes, default=0)))
            if session.values(table, "record").to_pylist() != [record for record, _, _, _ in visits]:
                raise WrongScoreCount("The answers are about other splits than those asked for.", party=party)
            lefts = _matrix(session.values(table, "left").to_pylist(), sizes, party, max(sizes, default=0))
            for (record, index, node, mask), left, size in zip(visits, lefts, sizes, strict=True):
                here, tree = np.flatnonzero(mask), part.trees[index]
                ways[position][record, here] = left[:size]
                at[index][here] = np.where(left[:size], tree.left[node], tree.right[node])
    return ways


def _frontier(part: TreePart, at: list[npt.NDArray[np.int64]], own: Bools) -> dict[int, list[tuple[int, int, int, Bools]]]:
    """Walk through the splits of the guest. Returns by party the visits: record, tree, node and waiting rows, sorted by record."""
    waiting: dict[int, list[tuple[int, int, int, Bools]]] = {position: [] for position in range(1, len(part.parties))}
    for index, tree in enumerate(part.trees):
        for node, party in enumerate(tree.party):
            mask = at[index] == node
            if party == LEAF or not mask.any():
                continue
            if party == 0:
                left = own[tree.record[node]]
                at[index] = np.where(mask, np.where(left, tree.left[node], tree.right[node]), at[index])
            else:
                waiting[party].append((tree.record[node], index, node, mask))
    return {position: sorted(visits, key=lambda visit: visit[0]) for position, visits in waiting.items()}


def _serve(session: Session, part: TreePart, codes: Codes, batch: int) -> None:
    """The side of a host in the form level-wise: it answers the visits of every level."""
    for level in range(part.depth):
        session.within(batch * part.depth + level)
        table = session.receive("visit", session.guest, longest=bytes_of(len(codes)))
        records, masks = session.values(table, "record").to_pylist(), session.values(table, "rows").to_pylist()
        lefts = []
        for record, data in zip(records, masks, strict=True):
            mask = unpacked(data, len(codes))
            if not 0 <= record < len(part.records) or mask is None:
                raise ForeignVisit(party=session.guest)
            lefts.append(packed(part.records[record].left(codes[mask])))
        session.send("turned", record=records, left=lefts)
