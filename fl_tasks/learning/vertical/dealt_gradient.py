"""Steps 0 to 6 on shares: the arbiter deals masks, and every data party learns its own X^T d and nothing else.

The data parties form a chain as in section 3.4 of the white paper: hosts add up the masked residual, and the guest shows it to all
data parties. The arbiter decrypts no gradient. Instead, a party gets one addend from the arbiter and one from every peer
(:mod:`tombolo.fl_tasks.shares.dealt`).
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from tombolo.fl_tasks.crypto.errors import OutOfRange
from tombolo.fl_tasks.learning.vertical.key_holder import WrongLength
from tombolo.fl_tasks.learning.vertical.rows import MOST_COLUMNS, Floats, VerticalRows
from tombolo.fl_tasks.learning.vertical.state import MASKED_COLUMNS
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.shares.dealt import SEED_BYTES, Masks, Matrix, WrongProduct, dealer_addend, peer_addend
from tombolo.fl_tasks.shares.ring import LARGEST_COLUMN, Ring, Scale
from tombolo.storage.errors import CodedError
from tombolo.storage.meters import NUMBERS, SIZE
from tombolo.storage.roles import ARBITER, DATA, GUEST, HOST
from tombolo.storage.schema import Disclosed, Message, MessageSet, Pad64, Public

_MOST_VALUES = 1 << 32

MESSAGES = MessageSet(
    "dealt-gradient",
    Message(
        "columns",
        DATA,
        ARBITER,
        {"count": Disclosed("int64", "the shape of the masks", "one number per run", SIZE)},
        learns="the sender's number of columns",
        step="0",
        limit="one number per run",
    ),
    Message(
        "seed",
        ARBITER,
        DATA,
        {"seed": Public("binary", "a random seed of masks; independent of all data")},
        learns="its own masks of this run",
        step="0",
    ),
    Message(
        "masked_columns",
        DATA,
        DATA,
        {"x": Pad64()},
        learns="the sender's number of columns; their values are uniform under a mask that the sender and the arbiter know",
        step="0",
        limit="once per run; **together with the arbiter a recipient could unmask the sender's columns**",
        rows=None,
    ),
    Message(
        "partial_residual",
        HOST,
        DATA,
        {"d": Pad64()},
        learns="uniformly random values: the senders' masks are in the sum",
        step="1",
        limit="a mask is for one round",
        rows=None,
    ),
    Message(
        "residual",
        GUEST,
        HOST,
        {"d": Pad64()},
        learns="uniformly random values: the masks of all data parties are in the sum",
        step="2",
        limit="a mask is for one round",
        rows=None,
    ),
    Message(
        "product",
        DATA,
        DATA,
        {"share": Pad64(NUMBERS)},
        learns="uniformly random values, one per own column and one more: each is under a pad of the sender",
        step="4",
        limit="a pad is for one round and recipient",
        rows=None,
    ),
    Message(
        "correction",
        ARBITER,
        DATA,
        {"share": Pad64(NUMBERS)},
        learns="with the products, its own gradient: one number per own column",
        step="5",
        limit="at least ten rows per column; rows of high leverage and rare one-hot columns refused",
        rows=None,
    ),
)


class BadSeed(CodedError):
    code = "TMB-DEAL-002"
    cause = "A dealt seed does not have 32 bytes."
    remedy = "Install the same version at the arbiter as at the other parties, and start a new run."


class MatrixChanged(CodedError):
    code = "TMB-DEAL-003"
    cause = "This party's columns changed after it masked them in this run. One mask over two matrices would show their difference."
    remedy = "Start a new run. It gets new masks."


def ring_values(session: Session, name: str, column: str, sender: str, count: int) -> Ring:
    """A received column of ``count`` values modulo 2^64; raises :class:`WrongLength`."""
    values = _numbers(session.receive(name, sender, count), column)
    if len(values) != count:
        raise WrongLength(f"Column {column}: {len(values)} instead of {count}.", party=sender)
    return values


class DealtGradient:
    """A data party's side, for one session: shows its masked columns once, then gives X^T d for shares of d, round by round."""

    def __init__(self, session: Session, data: VerticalRows) -> None:
        assert session.arbiter is not None
        self._session, self._arbiter, self._rows = session, session.arbiter, data.rows
        weights = session.prf("checksum").stream("weights").uint64(data.x.shape[1])
        self._lengths = np.linalg.norm(data.rounded, axis=0)
        if self._lengths.max(initial=0) > LARGEST_COLUMN * np.sqrt(data.rows):
            raise OutOfRange(f"A column's root mean square exceeds {LARGEST_COLUMN:g}.", party=session.me)
        self._matrix = Matrix.of(data.fixed, weights)
        self._pin(data)
        session.send("columns", self._arbiter, count=data.x.shape[1])
        seed = session.scalar(session.receive("seed", self._arbiter), "seed")
        if len(seed) != SEED_BYTES:
            raise BadSeed(party=self._arbiter)
        self.masks = Masks(seed)
        session.send("masked_columns", x=self._matrix.masked(self.masks).ravel(order="F"))
        widest = min(self._rows * (MOST_COLUMNS + 1), _MOST_VALUES)
        self._others = {party: self._masked(table, party) for party, table in session.receive_all("masked_columns", widest).items()}

    def _pin(self, data: VerticalRows) -> None:
        """Make sure that the mask is used for no other columns or rows in this run. Raises :class:`MatrixChanged`."""
        digest = hashlib.sha256(f"{data.fixed.shape}".encode() + np.ascontiguousarray(data.fixed, "<i8").data).digest()
        if self._session.state.keep(MASKED_COLUMNS, digest) != digest:
            raise MatrixChanged(party=self._session.me)

    def _masked(self, table: pa.Table, party: str) -> Ring:
        values = _numbers(table, "x")
        if not len(values) or len(values) % self._rows:
            raise WrongLength(f"{len(values)} masked values for {self._rows} rows.", party=party)
        return values.reshape(self._rows, -1, order="F")

    def __call__(self, share: Ring, scale: Scale) -> Floats:
        """X^T d, shape (columns,), for this party's share of d, shape (rows,).

        Raises :class:`WrongProduct` if the check of the result fails, or if no residual within the scale can have this result.
        """
        session, chain = self._session, self._session.data_parties
        me, mask = chain.index(session.me), self.masks.residual(session.round, self._rows)
        masked = share - mask  # step 1
        if me > 0:
            masked = masked + ring_values(session, "partial_residual", "d", chain[me - 1], self._rows)
        if session.me == session.guest:
            session.send("residual", d=masked)  # step 2
        else:
            session.send("partial_residual", chain[me + 1], d=masked)
            masked = ring_values(session, "residual", "d", session.guest, self._rows)
        for party, columns in self._others.items():  # step 4
            pad = self.masks.pad(session.round, party, columns.shape[1])
            session.send("product", party, share=peer_addend(columns, mask, pad))
        total = self._matrix.own_addend(masked, mask)
        for party in self._others:
            total = total + ring_values(session, "product", "share", party, len(total))
        total = total + ring_values(session, "correction", "share", self._arbiter, len(total))  # step 5
        return self._opened(total, scale)  # step 6

    def _opened(self, total: Ring, scale: Scale) -> Floats:
        sums = scale.decode(self._matrix.checked(total))
        longest = np.sqrt(self._rows) * (scale.largest + 2.0**-scale.bits * len(self._session.data_parties))
        if (np.abs(sums) > self._lengths * longest * (1 + 1e-9)).any():
            raise WrongProduct("A gradient is larger than any residual allows.", party=self._session.me)
        return sums


class Dealer:
    """The arbiter's side, for one session: seeds once, then one addend per data party and round, made from masks only."""

    def __init__(self, session: Session, rows: int) -> None:
        self._session, self._rows = session, rows
        tables = session.receive_all("columns")
        counts = {party: int(session.scalar(table, "count", 0, MOST_COLUMNS)) for party, table in tables.items()}
        for party, count in counts.items():
            if not 0 < 10 * count <= rows or rows * (count + 1) > _MOST_VALUES:
                raise WrongLength(f"{count} columns of {rows} rows.", party=party)
        seeds = {party: session.prf("seed", party).derive("seed") for party in counts}  # bound to run, stage, rows and columns
        for party, seed in seeds.items():
            session.send("seed", party, seed=seed)
        self.masks = {party: Masks(seed) for party, seed in seeds.items()}
        self._matrices = {party: self.masks[party].matrix(rows, count + 1) for party, count in counts.items()}

    def deal(self) -> None:
        """Send the addends of this round (step 5). It waits for no other party."""
        round, names = self._session.round, list(self.masks)
        vectors = {party: self.masks[party].residual(round, self._rows) for party in names}
        whole = np.sum(list(vectors.values()), axis=0, dtype=np.uint64)
        for party, matrix in self._matrices.items():
            pads = [self.masks[other].pad(round, party, matrix.shape[1]) for other in names if other != party]
            self._session.send("correction", party, share=dealer_addend(matrix, whole - vectors[party], pads))


def _numbers(table: pa.Table, column: str) -> Ring:
    values: Ring = Session.values(table, column).to_numpy(zero_copy_only=False)
    return values
