"""The side of the guest: it has the labels, the key and the trees, and works with the columns of hosts by messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tombolo.fl_tasks.crypto.ahead import Ahead
from tombolo.fl_tasks.crypto.packing import slots_per_ciphertext, unpack
from tombolo.fl_tasks.crypto.paillier import PrivateKey
from tombolo.fl_tasks.crypto.pairs import Pairs
from tombolo.fl_tasks.crypto.pool import Pool
from tombolo.fl_tasks.crypto.vector import decrypt
from tombolo.fl_tasks.learning.parameters import Boosted
from tombolo.fl_tasks.learning.terms import BoostingTerms
from tombolo.fl_tasks.learning.trees.boosting import Boosting, Plan, plan_of
from tombolo.fl_tasks.learning.trees.growing import Choice, Derivatives, Local, Node, Parted, RowNumbers, grow, growing
from tombolo.fl_tasks.learning.trees.records import keep_records, keep_trees
from tombolo.fl_tasks.learning.trees.splits import Split, Sums
from tombolo.fl_tasks.learning.trees.tree import Bools
from tombolo.fl_tasks.learning.vertical.key_holder import own_key, vector
from tombolo.fl_tasks.learning.vertical.rows import BadLabel
from tombolo.fl_tasks.protocols.secureboost.messages import (
    BinnedRows,
    ForeignFeatures,
    ForeignRoute,
    HostTotalsDiffer,
    bytes_of,
    guest_only,
    packed,
    unpacked,
)
from tombolo.fl_tasks.protocols.secureboost.state import NAMES
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import blame, shown

_MOST_COLUMNS = 100_000


def guest(session: Session, data: BinnedRows) -> State:
    """The side of the guest. Returns its last state, with the ``loss`` list."""
    plan, key = plan_of(session), own_key(session)
    session.send("public_key", key=key.public.to_bytes())
    hosts = {party: _features(session, party) for party in session.hosts}
    session.state.keep(NAMES, {party: _names(session, party, len(features.bins)) for party, features in hosts.items()})
    y, w = _labels(session, data, plan)
    state = Boosting(plan, y, w, plan.learning_rows(data.rows, session.common()))
    checkpoint: State = session.latest or {"records": [0] * (1 + len(hosts))}
    if session.latest is not None:
        state.margins, state.loss, state.validation = (checkpoint[name] for name in ("margins", "loss", "validation"))
    encrypted = Encrypted(session, key, plan, data.rows)
    for number in session.rounds():
        used = plan.sampled_rows(state.learning, session.common())
        derivatives, used = state.derivatives(used, session.prf("sampling"))
        alone = guest_only(session)
        worth = growing(derivatives, used, state.growth)
        if not alone:
            encrypted.send(derivatives, used, worth)
        first = checkpoint["records"]
        columns = plan.sampled_columns(session.me, len(data.names), session.common())
        own = Local(data.codes, int(data.sizes.max()), derivatives, columns, first[0])
        remote = [
            Remote(session, party, features, encrypted, derivatives, plan, records)
            for (party, features), records in zip(hosts.items(), first[1:], strict=True)
        ]
        trees, places = grow([own] if alone else [own, *remote], derivatives, data.rows, used, state.growth)
        session.within(None)
        keep_records(session, own.records)
        keep_trees(session, trees)
        stop = state.add(trees, places)
        session.send("turn", stop=stop, kept=state.best_rounds)
        kept = {"margins": state.margins, "loss": state.loss, "validation": state.validation, "base": state.base}
        records = [first[0] + len(own.records), *(peer.records for peer in remote)]
        checkpoint = session.checkpoint({**kept, "records": records, "kept": state.best_rounds, "stopped": stop})
        session.report(round=number, loss=state.loss[-1])
    return checkpoint


@dataclass(frozen=True)
class Features:
    """What a host sends about its columns, by alias: the number of bins, and whether there is one more bin for missing values."""

    bins: RowNumbers
    missing: np.ndarray[tuple[int], np.dtype[np.bool_]]


def _features(session: Session, party: str) -> Features:
    """Step 0 at the guest: receive the features of a host. Raises :class:`ForeignFeatures`."""
    table = session.receive("features", party)
    bins, missing = (session.values(table, name).to_numpy(zero_copy_only=False) for name in ("bins", "missing"))
    if not 1 <= len(bins) <= _MOST_COLUMNS or bins.min() < 1 or bins.max() > session.parameters(Boosted).bins:
        raise ForeignFeatures(party=party)
    return Features(bins.astype(np.int64), missing.astype(np.bool_))


def _names(session: Session, party: str, columns: int) -> list[str]:
    """Names of the columns of a host by alias, if the terms disclose them; else aliases. Raises :class:`ForeignFeatures`."""
    boosting = session.terms.task.section(BoostingTerms)
    if boosting is None or not boosting.feature_names:
        return [f"#{alias + 1}" for alias in range(columns)]
    names = session.values(session.receive("names", party), "name").to_pylist()
    if len(names) != columns:
        raise ForeignFeatures(party=party)
    return [shown(name, 200) for name in names]


def _labels(session: Session, data: BinnedRows, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Check and return labels and weights. Raises :class:`BadLabel`."""
    y, w = data.y, data.w
    assert y is not None and w is not None
    classes = {"logistic": [0, 1], "softmax": list(range(plan.outputs))}.get(plan.objective.name)
    fits = np.isfinite(y).all() and (classes is None or np.unique(y).tolist() == classes)
    if not fits or not np.isfinite(w).all() or w.min() < 0 or not w.sum() > 0:
        raise BadLabel(party=session.me)
    return y, w


class Encrypted:
    """The encryption of the guest: it sends encrypted pairs of g and h, and decrypts sums of them.

    All trees of a round have the same rows at the root. So the pairs of the classes are stacked: one ciphertext per row. Below the
    root each tree has nodes of its own, and slots of other classes would be of no use. So the pairs of a class are sent alone,
    and only for the rows that are summed.
    """

    def __init__(self, session: Session, key: PrivateKey, plan: Plan, rows: int) -> None:
        self._session, self._key, self._rows = session, key, rows
        self._pool: Pool = session.holder_pool(key)
        self._ready = Ahead(key.public, session.pool)
        self._pairs = Pairs(plan.bits, rows)
        self._sets = self._pairs.sets(key.public, plan.outputs)
        self._derivatives: Sequence[Derivatives] = ()
        self._known: list[Bools] = []
        self._below = 0

    def send(self, derivatives: Sequence[Derivatives], used: RowNumbers, worth: Sequence[int]) -> None:
        """Step 1: send one ciphertext per row for all trees that are worth growing; then prepare for the next messages."""
        sets = self._sets if worth else []
        plain = [
            value
            for members in sets
            for value in self._pairs.stack([self._join(derivatives[k], used, k in worth) for k in members])
        ]
        self._session.send("gradients", row=np.tile(used, len(sets)), pair=self._encrypt(plain))
        self._derivatives, self._known = derivatives, [np.zeros(self._rows, dtype=np.bool_) for _ in derivatives]
        for members in sets:
            if len(members) == 1:
                self._known[members[0]][used] = True
        next_round = len(plain) if self._session.round < self._session.last_round else 0
        self._ready.prepare(self._below + next_round)
        self._below = 0

    def send_below(self, nodes: Sequence[Node]) -> None:
        """Step 2 below the roots: send the pairs of the class of each node, unless they were sent before."""
        plain: list[int] = []
        for node in nodes:
            rows, known = node.rows[node.used], self._known[node.output]
            if not known[rows].all():
                plain += self._join(self._derivatives[node.output], rows)
                known[rows] = True
        if plain:
            self._session.send("class_gradients", pair=self._encrypt(plain))
            self._below += len(plain)

    def _join(self, output: Derivatives, rows: RowNumbers, wanted: bool = True) -> list[int]:
        return self._pairs.join(output.g[rows] * wanted, output.h[rows] * wanted)

    def _encrypt(self, plain: list[int]) -> pa.Array:
        return self._ready.take(len(plain)).add_plain(plain).to_arrow()

    def root_sums(self, name: str, count: int, party: str) -> np.ndarray:
        """Step 2 at the roots: decrypt ``count`` sums of g and h of every class, shape (classes, count, 2)."""
        return self._sums(name, [len(members) for members in self._sets], count, party)

    def sums(self, name: str, count: int, party: str) -> np.ndarray:
        """Step 2 below the roots: decrypt ``count`` sums of g and h, shape (count, 2)."""
        sums: np.ndarray = self._sums(name, [1], count, party)[0]
        return sums

    def _sums(self, name: str, stacked: Sequence[int], count: int, party: str) -> np.ndarray:
        public, sums, at = self._key.public, [], 0
        widths = [self._pairs.slot_bits * classes for classes in stacked]
        lengths = [-(-count // slots_per_ciphertext(public, width)) for width in widths]
        plain = decrypt(self._key, vector(self._session, name, "sums", public, sum(lengths), party), self._pool)
        with blame(party):
            for classes, width, length in zip(stacked, widths, lengths, strict=True):
                sums.append(self._pairs.unstack(unpack(plain[at : at + length], width, count, public), classes))
                at += length
        return np.concatenate(sums)


class Remote:
    """The columns of a host as the guest sees them: a :class:`PartyColumns` that sends and receives messages."""

    def __init__(
        self,
        session: Session,
        party: str,
        features: Features,
        encrypted: Encrypted,
        derivatives: Sequence[Derivatives],
        plan: Plan,
        records: int,
    ) -> None:
        self._session, self._party, self._features, self._encrypted = session, party, features, encrypted
        self._derivatives, self._outputs = derivatives, plan.outputs
        self._columns = plan.sampled_columns(party, len(features.bins), session.common())
        self.records, self._level = records, 0

    def histograms(self, nodes: Sequence[Node]) -> list[Sums]:
        """Receive and decrypt the sums; every column must add up to the sums of the node. Raises :class:`HostTotalsDiffer`."""
        self._level = (nodes[0].number // self._outputs).bit_length() - 1
        bins, missing = self._features.bins, self._features.missing
        per_node = int((bins + missing)[self._columns].sum())
        self._session.within(self._level)
        if self._level == 0:
            by_class = self._encrypted.root_sums("histogram", per_node, self._party)
            flat = [by_class[node.output] for node in nodes]
        else:
            self._encrypted.send_below(nodes)
            flat = np.split(self._encrypted.sums("histogram", per_node * len(nodes), self._party), len(nodes))
        tables = []
        for node, own in zip(nodes, flat, strict=True):
            sums, at = np.zeros((len(bins), 1 + int(bins.max()), 2), dtype=np.int64), 0
            for alias in self._columns.tolist():
                first, size = int(not missing[alias]), int(bins[alias] + missing[alias])
                sums[alias, first : first + size] = own[at : at + size]
                at += size
            if (sums[self._columns].sum(axis=1) != np.array(node.sums)).any():
                raise HostTotalsDiffer(party=self._party)
            tables.append(sums)
        return tables

    def apply(self, choices: Sequence[Choice]) -> list[Parted]:
        """Ask the host to split nodes. Each answer must be one of the splits that were asked for. Raises :class:`ForeignRoute`."""
        asked = [(choice.node.number, split) for choice in choices for split in choice.splits]
        self._session.within(self._level)
        self._session.send(
            "choice",
            self._party,
            node=[number for number, _ in asked],
            column=[split.column for _, split in asked],
            cut=[split.cut for _, split in asked],
            missing_left=[split.missing_left for _, split in asked],
        )
        longest = max((bytes_of(len(choice.node.rows)) for choice in choices), default=0)
        table = self._receive("route", len(choices), longest)
        answers = list(zip(*(self._session.values(table, name).to_pylist() for name in ("node", "column", "left")), strict=True))
        if [number for number, _, _ in answers] != [choice.node.number for choice in choices]:
            raise ForeignRoute(party=self._party)
        return [self._parted(choice, column, left) for choice, (_, column, left) in zip(choices, answers, strict=True)]

    def _parted(self, choice: Choice, column: int, data: bytes) -> Parted:
        node = choice.node
        left = unpacked(data, len(node.rows))
        split: Split | None = next((candidate for candidate in choice.splits if candidate.column == column), None)
        if left is None or split is None:
            raise ForeignRoute(party=self._party)
        if self._derivatives[node.output].total(node.rows[left & node.used]) != split.left:
            raise ForeignRoute("The sums of g and h of these rows are not the sums of the split.", party=self._party)
        self.records += 1
        return Parted(node, self.records - 1, column, left)

    def follow(self, parted: Sequence[Parted]) -> None:
        """Send the host which rows went left at each split."""
        self._session.within(self._level)
        nodes, lefts = [split.node.number for split in parted], [packed(split.left) for split in parted]
        self._session.send("partition", self._party, node=nodes, left=lefts)

    def _receive(self, name: str, rows: int, longest: int) -> pa.Table:
        self._session.within(self._level)
        return self._session.receive(name, self._party, rows, longest)
