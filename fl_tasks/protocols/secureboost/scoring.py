"""Scores of aligned rows with boosted trees: hosts say which way rows go at their splits, the guest adds up leaves.

Two forms; the agreement chooses. In ``one-message`` every host sends the directions of all rows at all its splits, in one message
per batch: the guest also learns directions at splits that a row never comes to. In ``level-wise`` the guest asks level by level,
only about rows that are there: it learns only those, and the hosts learn which rows come to which of their splits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.terms import BoostingTerms
from tombolo.fl_tasks.learning.trees.bins import Codes
from tombolo.fl_tasks.learning.trees.part import TreePart
from tombolo.fl_tasks.learning.trees.tree import LEAF, Bools, directions, margins
from tombolo.fl_tasks.learning.vertical.messages import TOTAL
from tombolo.fl_tasks.learning.vertical.scoring import WrongScoreCount
from tombolo.fl_tasks.protocols.secureboost.messages import packed, unpacked
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError
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
            "left": Disclosed("binary", "the way of every row at the split", "one bit per row and split; boosting.prediction"),
        },
        learns="which way every row goes at every split of the host's, also where the row never comes",
        step="directions",
        limit="only where the terms say one-message; rows that the agreement lets be scored",
    ),
    Message(
        "visit",
        GUEST,
        HOST,
        {
            "record": Disclosed("int64", "the splits that rows have come to", "splits of one level"),
            "rows": Disclosed("binary", "which rows have come there", "one bit per row and split"),
        },
        learns="which rows come to which of its own splits",
        step="visit",
        limit="only where the terms say level-wise",
    ),
    Message(
        "turned",
        HOST,
        GUEST,
        {
            "record": Public("int64", "the number of one of the host's splits"),
            "left": Disclosed("binary", "the way of the rows that came", "one bit per visiting row"),
        },
        learns="which way the visiting rows go; nothing of other rows",
        step="visit",
        limit="only where the terms say level-wise",
    ),
    TOTAL,
)


class ForeignVisit(CodedError):
    code = "TMB-SCORE-003"
    cause = "The guest asks about a split that this party does not have, or about rows that are not in the batch."
    remedy = "Both parties must use the same version of the model; publish and predict with one run's model."


def exchange_scores(session: Session, part: TreePart, x: Codes, recipients: Iterable[str]) -> Floats | None:
    """Give every recipient the margins of each row of bin numbers ``x``: shape (rows,), or (rows, classes) for several classes.

    Every data party calls it once per stage with the same recipients. Returns None elsewhere. Raises WrongScoreCount and
    :class:`ForeignVisit`.
    """
    boosting, wanted = session.terms.task.section(BoostingTerms), list(recipients)
    assert boosting is not None
    stepwise = boosting.prediction == "level-wise"
    total: Floats = np.zeros((0, 1))
    found: list[Floats] = []
    for number, start in enumerate(range(0, max(len(x), 1), BATCH)):
        codes = x[start : start + BATCH]
        if session.role == GUEST:
            ways = _visit(session, part, codes, number) if stepwise else _gather(session, part, codes, number)
            found.append(margins(part.trees, part.base, ways, len(codes)))
        elif stepwise:
            _serve(session, part, codes, number)
        else:
            session.within(number)
            lefts = [packed(left) for left in directions(part.records, codes)]
            session.send("directions", record=list(range(len(lefts))), left=lefts)
    session.within(None)
    if session.role == GUEST:
        total = np.concatenate(found)
        for party in wanted:
            if party != session.me:
                session.send("total", party, score=total.ravel())
    elif session.me in wanted:
        total = _total(session, len(x), boosting.classes if boosting.objective == "softmax" else 1)
    if session.me not in wanted:
        return None
    return total[:, 0] if total.shape[1] == 1 else total


def _total(session: Session, rows: int, outputs: int) -> Floats:
    score = session.values(session.receive("total", session.guest), "score").to_numpy(zero_copy_only=False)
    if len(score) != rows * outputs or not np.isfinite(score).all():
        raise WrongScoreCount(f"{len(score)} scores for {rows} rows.", party=session.guest)
    return np.asarray(score, dtype=np.float64).reshape(rows, outputs)


def _gather(session: Session, part: TreePart, codes: Codes, batch: int) -> list[Bools]:
    """One message: everybody's directions of all rows, by party as the trees count them."""
    ways = [directions(part.records, codes)]
    for position, party in enumerate(part.parties[1:], start=1):
        session.within(batch)
        table = session.receive("directions", party)
        lefts = session.values(table, "left").to_pylist()
        needed = _splits(part, position)
        if session.values(table, "record").to_pylist() != list(range(len(lefts))) or len(lefts) < needed:
            raise WrongScoreCount(f"{len(lefts)} splits where {needed} are in the trees.", party=party)
        ways.append(_matrix(lefts, [len(codes)] * len(lefts), party, len(codes)))
    return ways


def _splits(part: TreePart, position: int) -> int:
    """How many records of a party the trees name."""
    named = (record for tree in part.trees for party, record in zip(tree.party, tree.record, strict=True) if party == position)
    return 1 + max(named, default=-1)


def _matrix(lefts: Sequence[bytes], sizes: Sequence[int], party: str, width: int) -> Bools:
    """Directions as rows of bits; raises WrongScoreCount for bits about another number of rows."""
    found = np.zeros((len(lefts), width), dtype=np.bool_)
    for index, (data, size) in enumerate(zip(lefts, sizes, strict=True)):
        left = unpacked(data, size)
        if left is None:
            raise WrongScoreCount("Directions are about another number of rows.", party=party)
        found[index, :size] = left
    return found


def _visit(session: Session, part: TreePart, codes: Codes, batch: int) -> list[Bools]:
    """Level by level: walk all trees at once, and ask about the rows that stand at hosts' splits."""
    rows = len(codes)
    counts = [_splits(part, position) for position in range(1, len(part.parties))]
    ways = [directions(part.records, codes), *(np.zeros((count, rows), dtype=np.bool_) for count in counts)]
    at = [np.zeros(rows, dtype=np.int64) for _ in part.trees]
    for level in range(part.depth):
        asked = _frontier(part, at, ways[0])
        session.within(batch * part.depth + level)
        for position, party in enumerate(part.parties[1:], start=1):
            visits = asked[position]
            session.send("visit", party, record=[record for record, _, _, _ in visits], rows=[packed(one) for *_, one in visits])
        for position, party in enumerate(part.parties[1:], start=1):
            table = session.receive("turned", party)
            visits = asked[position]
            if session.values(table, "record").to_pylist() != [record for record, _, _, _ in visits]:
                raise WrongScoreCount("Answers are about other splits than asked.", party=party)
            sizes = [int(mask.sum()) for *_, mask in visits]
            lefts = _matrix(session.values(table, "left").to_pylist(), sizes, party, max(sizes, default=0))
            for (record, index, node, mask), left, size in zip(visits, lefts, sizes, strict=True):
                here, tree = np.flatnonzero(mask), part.trees[index]
                ways[position][record, here] = left[:size]
                at[index][here] = np.where(left[:size], tree.left[node], tree.right[node])
    return ways


def _frontier(part: TreePart, at: list[npt.NDArray[np.int64]], own: Bools) -> dict[int, list[tuple[int, int, int, Bools]]]:
    """Walk on through the guest's own splits; then by party: record, tree, node and rows that wait there, by record."""
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
    """A host's answers, level by level."""
    for level in range(part.depth):
        session.within(batch * part.depth + level)
        table = session.receive("visit", session.guest)
        records, masks = session.values(table, "record").to_pylist(), session.values(table, "rows").to_pylist()
        lefts = []
        for record, data in zip(records, masks, strict=True):
            mask = unpacked(data, len(codes))
            if not 0 <= record < len(part.records) or mask is None:
                raise ForeignVisit(party=session.guest)
            lefts.append(packed(part.records[record].left(codes[mask])))
        session.send("turned", record=records, left=lefts)
