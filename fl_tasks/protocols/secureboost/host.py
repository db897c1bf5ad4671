"""The side of a host: it sums encrypted g and h per bin, and keeps the splits that only it knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from tombolo.fl_tasks.crypto.ahead import Ahead
from tombolo.fl_tasks.crypto.histogram import compress, grouped_bin_sums
from tombolo.fl_tasks.crypto.packing import slots_per_ciphertext
from tombolo.fl_tasks.crypto.paillier import PublicKey
from tombolo.fl_tasks.crypto.pairs import Pairs
from tombolo.fl_tasks.crypto.vector import CipherVector
from tombolo.fl_tasks.learning.terms import BoostingTerms
from tombolo.fl_tasks.learning.trees.boosting import Plan, plan_of
from tombolo.fl_tasks.learning.trees.growing import RowNumbers, left_number
from tombolo.fl_tasks.learning.trees.records import keep_records
from tombolo.fl_tasks.learning.trees.tree import Bools, SplitRecord
from tombolo.fl_tasks.learning.vertical.key_holder import peer_key, vector
from tombolo.fl_tasks.protocols.secureboost.messages import (
    BinnedRows,
    ForeignChoice,
    ForeignRows,
    NodeTooSmall,
    bytes_of,
    guest_only,
    packed,
    unpacked,
)
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import blame


def host(session: Session, data: BinnedRows) -> State:
    """The side of a host. Returns its last state. The records of its splits are kept after every round."""
    key, plan = peer_key(session, session.guest), plan_of(session)
    own = Host(session, data, plan, key)
    own.introduce()
    learning = plan.learning_rows(data.rows, session.common())
    state: State = session.latest or {"records": 0}
    for number in session.rounds():
        records = [] if guest_only(session) else own.round(plan.sampled_rows(learning, session.common()))
        keep_records(session, records)
        turn = session.receive("turn", session.guest)
        stop, kept = bool(session.scalar(turn, "stop")), int(session.scalar(turn, "kept", 0, session.round))
        session.within(None)
        state = session.checkpoint({"records": int(state["records"]) + len(records), "kept": kept, "stopped": stop})
        session.report(round=number)
    return state


@dataclass
class _Node:
    """The rows of a node, and the rows of it that count in the sums."""

    rows: RowNumbers
    counting: RowNumbers


@dataclass
class _Round:
    """The trees of one round as a host knows them: nodes by number, its own answers, and ciphertexts of the rows that are ``used``.

    ``stacked`` holds the ciphertexts for the roots, by set of classes. ``pairs`` holds those below the roots, by output;
    ``position`` says where the ciphertext of a row is in them (-1: the host does not have it).
    """

    used: Bools
    stacked: list[CipherVector]
    pairs: list[CipherVector]
    position: list[RowNumbers]
    columns: RowNumbers
    nodes: dict[int, _Node] = field(default_factory=dict)
    answers: dict[int, Bools] = field(default_factory=dict)
    records: list[SplitRecord] = field(default_factory=list)


class Host:
    """The columns of a host under the aliases of this run: the guest knows the column ``aliases[a]`` as a."""

    def __init__(self, session: Session, data: BinnedRows, plan: Plan, key: PublicKey) -> None:
        self._session, self._data, self._plan, self._key = session, data, plan, key
        self._aliases = session.prf("aliases").stream("order").permutation(len(data.names))
        self._least = session.terms.limits.minimum_leaf_rows
        self._ready = Ahead(key, session.pool, full=True)
        self._pairs = Pairs(plan.bits, data.rows)
        self._sets = self._pairs.sets(key, plan.outputs)

    def introduce(self) -> None:
        """Step 0: send the numbers of bins under aliases, and the names if the terms disclose them."""
        aliases, boosting = self._aliases, self._session.terms.task.section(BoostingTerms)
        self._session.send("features", bins=self._data.sizes[aliases], missing=self._data.missing[aliases])
        if boosting is not None and boosting.feature_names:
            self._session.send("names", name=[self._data.names[column] for column in aliases])

    def round(self, expected: RowNumbers) -> list[SplitRecord]:
        """Grow the trees of one round with the guest, steps 1 to 5. Returns the new records of this host."""
        session = self._session
        columns = self._plan.sampled_columns(session.me, len(self._aliases), session.common())
        self._prepare(columns)
        grown, fresh = self._begin(expected, columns)
        for level in range(self._plan.depth if fresh else 0):
            session.within(level)
            self._send_histograms(self._sums(grown, fresh) if level else self._root_sums(grown))
            self._answer(grown)
            if level == self._plan.depth - 1:
                break
            fresh = self._follow(grown)
            if not fresh:
                break
        session.within(None)
        return grown.records

    def _sizes(self, columns: RowNumbers) -> list[int]:
        """How many sums each column has: one per bin, and one for missing values if the column has such a bin."""
        own = self._aliases[columns]
        return [int(size) for size in self._data.sizes[own] + self._data.missing[own]]

    def _prepare(self, columns: RowNumbers) -> None:
        """While the guest encrypts, prepare the randomness that makes the histograms of this round unlinkable for it."""
        slots = slots_per_ciphertext(self._key, self._pairs.slot_bits)
        per_node = -(-sum(self._sizes(columns)) // slots)
        self._ready.prepare(per_node * self._plan.outputs << (self._plan.depth - 1))

    def _begin(self, expected: RowNumbers, columns: RowNumbers) -> tuple[_Round, list[int]]:
        """Step 1: receive the ciphertexts. Also returns the root nodes; none if the guest finds no tree worth growing."""
        session, sets, outputs = self._session, self._sets, self._plan.outputs
        table = session.receive("gradients", session.guest, len(expected) * len(sets))
        row = session.values(table, "row").to_numpy(zero_copy_only=False)
        with blame(session.guest):
            whole = CipherVector.from_arrow(self._key, session.values(table, "pair"))
        rows = row[: len(row) // len(sets)]
        if not np.array_equal(row, np.tile(rows, len(sets))):
            raise ForeignRows(party=session.guest)
        if len(rows):
            self._check_rows(rows, expected)
        used = np.zeros(self._data.rows, dtype=np.bool_)
        used[rows] = True
        nowhere = np.full(self._data.rows, -1, dtype=np.int64)
        stacked = [whole[len(rows) * at : len(rows) * (at + 1)] for at in range(len(sets))]
        grown = _Round(used, stacked, [whole[:0]] * outputs, [nowhere.copy() for _ in range(outputs)], columns)
        for members, own in zip(sets, stacked, strict=True):
            if len(members) == 1:
                self._know(grown, members[0], rows, own)
        roots = list(range(outputs, 2 * outputs)) if len(rows) else []
        for root in roots:
            grown.nodes[root] = self._node(grown, np.arange(self._data.rows))
        return grown, roots

    def _know(self, grown: _Round, output: int, rows: RowNumbers, pairs: CipherVector) -> None:
        """Keep the ciphertexts of these rows, of a single output."""
        held = grown.pairs[output]
        grown.position[output][rows] = len(held) + np.arange(len(rows))
        grown.pairs[output] = CipherVector.concatenate([held, pairs])

    def _check_rows(self, rows: RowNumbers, expected: RowNumbers) -> None:
        """Rows must be those of the common seed; with GOSS, a part of these that the guest picks. Raises :class:`ForeignRows`."""
        if self._plan.goss_top:
            plan, picked = self._plan, np.isin(rows, expected, assume_unique=True).all() and (np.diff(rows) > 0).all()
            fits = picked and len(rows) == round(plan.goss_top * len(expected)) + round(plan.goss_other * len(expected))
        else:
            fits = np.array_equal(rows, expected)
        if not fits:
            raise ForeignRows(party=self._session.guest)

    def _node(self, grown: _Round, rows: RowNumbers) -> _Node:
        """A node of these rows. Raises :class:`NodeTooSmall` if fewer rows count than the terms allow."""
        node = _Node(rows, rows[grown.used[rows]])
        if len(node.counting) < self._least:
            raise NodeTooSmall(f"The terms allow no fewer than {self._least} rows.", party=self._session.guest)
        return node

    def _root_sums(self, grown: _Round) -> list[tuple[CipherVector, int]]:
        """Step 2 at the roots, which have the same rows in all trees: stacked sums, each with its number of classes."""
        codes = self._codes(grown, np.flatnonzero(grown.used))
        sums = grouped_bin_sums([(codes, own) for own in grown.stacked], self._sizes(grown.columns), self._session.pool)
        return [(own, len(members)) for own, members in zip(sums, self._sets, strict=True)]

    def _sums(self, grown: _Round, fresh: Sequence[int]) -> list[tuple[CipherVector, int]]:
        """Step 2 below the roots: receive the ciphertexts that are missing here, then sum the class of every node."""
        outputs, groups = self._plan.outputs, []
        self._receive_missing(grown, fresh)
        for number in fresh:
            rows, output = grown.nodes[number].counting, number % outputs
            groups.append((self._codes(grown, rows), grown.pairs[output].take(grown.position[output][rows])))
        sums = grouped_bin_sums(groups, self._sizes(grown.columns), self._session.pool)
        return [(CipherVector.concatenate(sums), 1)]

    def _receive_missing(self, grown: _Round, fresh: Sequence[int]) -> None:
        """Receive the missing ciphertexts: for each node those of all its rows, or none. Raises WrongLength."""
        session, outputs = self._session, self._plan.outputs
        lacking = [number for number in fresh if (grown.position[number % outputs][grown.nodes[number].counting] < 0).any()]
        if not lacking:
            return
        ends = np.cumsum([0, *(len(grown.nodes[number].counting) for number in lacking)]).tolist()
        whole = vector(session, "class_gradients", "pair", self._key, ends[-1], session.guest)
        for number, start, stop in zip(lacking, ends, ends[1:], strict=False):
            self._know(grown, number % outputs, grown.nodes[number].counting, whole[start:stop])

    def _codes(self, grown: _Round, rows: RowNumbers) -> RowNumbers:
        """The bin numbers of these rows in the columns of the round, counted from 0."""
        own = self._aliases[grown.columns]
        return self._data.codes[np.ix_(rows, own)].astype(np.int64) - np.where(self._data.missing[own], 0, 1)

    def _send_histograms(self, sums: Sequence[tuple[CipherVector, int]]) -> None:
        """Send the sums: many in one ciphertext, and unlinkable for the key holder."""
        width, pool = self._pairs.slot_bits, self._session.pool
        small = CipherVector.concatenate([compress(own, width * classes, pool) for own, classes in sums])
        self._session.send("histogram", sums=small.rerandomise_full(self._ready.take(len(small))).to_arrow())

    def _answer(self, grown: _Round) -> None:
        """Steps 3 and 4: split the nodes that the guest names, send the sides of their rows, and keep the records."""
        session, nodes, columns, lefts = self._session, list[int](), list[int](), list[bytes]()
        for number, candidates in self._choices(session.receive("choice", session.guest)).items():
            if number not in grown.nodes or number in grown.answers:
                raise ForeignChoice(party=session.guest)
            alias, record = min((self._record(grown, *candidate) for candidate in candidates), key=lambda pair: pair[1].column)
            left = record.left(self._data.codes[grown.nodes[number].rows])
            for side in (left, ~left):
                self._node(grown, grown.nodes[number].rows[side])
            grown.records.append(record)
            grown.answers[number] = left
            nodes.append(number)
            columns.append(alias)
            lefts.append(packed(left))
        session.send("route", node=nodes, column=columns, left=lefts)

    def _choices(self, table: pa.Table) -> dict[int, list[tuple[int, int, bool]]]:
        candidates: dict[int, list[tuple[int, int, bool]]] = {}
        columns = (self._session.values(table, name).to_pylist() for name in ("node", "column", "cut", "missing_left"))
        for number, *candidate in zip(*columns, strict=True):
            candidates.setdefault(number, []).append((candidate[0], candidate[1], candidate[2]))
        return candidates

    def _record(self, grown: _Round, alias: int, cut: int, missing_left: bool) -> tuple[int, SplitRecord]:
        if alias not in grown.columns:
            raise ForeignChoice(party=self._session.guest)
        column = int(self._aliases[alias])
        if not 0 <= cut <= self._data.sizes[column]:
            raise ForeignChoice(party=self._session.guest)
        return alias, SplitRecord(column, cut, missing_left)

    def _follow(self, grown: _Round) -> list[int]:
        """Step 5: receive which rows went left. Returns the smaller child of every split node; its histogram comes next."""
        session, fresh, before = self._session, [], dict(grown.nodes)
        table = session.receive("partition", session.guest, len(before), bytes_of(self._data.rows))
        grown.nodes = {}
        for number, data in zip(*(session.values(table, name).to_pylist() for name in ("node", "left")), strict=True):
            node = before.pop(number, None)
            left = None if node is None else unpacked(data, len(node.rows))
            own = grown.answers.get(number)
            if node is None or left is None or (own is not None and not np.array_equal(own, left)):
                raise ForeignChoice(party=session.guest)
            first = left_number(number, self._plan.outputs)
            children = [
                (first, self._node(grown, node.rows[left])),
                (first + self._plan.outputs, self._node(grown, node.rows[~left])),
            ]
            grown.nodes.update(children)
            fresh.append(min(children, key=lambda child: len(child[1].counting))[0])
        return fresh
