"""The part of the arbiter in a vertical network on shares: masks from seeds, and corrections made of masks alone (Beaver 1991).

The arbiter is the dealer. Guest and host multiply a and b: one of them knows a, the other knows b. The owner of a and the dealer
draw the mask A from the seed of this owner; the mask B of b is drawn in the same way. The guest and the dealer draw a pad c. Guest
and host show each other e = a - A and f = b - B. Then

    a b  =  (e b + c)  +  (A f + (A B - c))          the guest's share and the host's, where the host knows a
    a b  =  (a f + c)  +  (e B + (A B - c))          where the guest knows a

The guest computes its share alone. For the share of the host, the dealer sends A B - c. Each share alone is uniform modulo 2^192.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.learning.vertical.dealt_gradient import BadSeed
from tombolo.fl_tasks.learning.vertical.key_holder import WrongLength
from tombolo.fl_tasks.learning.vertical.rows import MOST_COLUMNS, MOST_ROWS
from tombolo.fl_tasks.protocols.vertical_mlp.programs import most_weights, network_of, parted
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.shares import wide
from tombolo.fl_tasks.shares.dealt import SEED_BYTES
from tombolo.fl_tasks.shares.wide import Wide
from tombolo.storage.meters import NUMBERS, ROWS, SIZE
from tombolo.storage.roles import ARBITER, DATA, GUEST, HOST
from tombolo.storage.schema import Disclosed, Message, MessageSet, Pad64, Public

_MOST_VALUES, _MOST_AT_ONCE = 1 << 32, 1 << 27
"""The most values of one mask in a whole training, and in one batch (3 GiB)."""
_UNIFORM = "uniformly random values: each is under a mask that only the sender and the arbiter know"
_ONCE = "each mask is used in one batch only; **together with the arbiter the recipient could remove it**"
FORWARD = (
    Message(
        "rows",
        GUEST,
        ARBITER,
        {"count": Disclosed("int64", "the shape of the masks", "one number per training or scoring", SIZE)},
        learns="how many rows are used in training or scored",
        step="0",
        limit="one number",
    ),
    Message(
        "seed",
        ARBITER,
        DATA,
        {"seed": Public("binary", "a random seed of masks; independent of all data")},
        learns="the recipient's own masks of this run",
        step="0",
    ),
    Message("masked_units", HOST, GUEST, {"alpha": Pad64()}, learns=_UNIFORM, step="1", limit=_ONCE, rows=None),
    Message("masked_weights", GUEST, HOST, {"w": Pad64()}, learns=_UNIFORM, step="1", limit=_ONCE, rows=None),
    Message(
        "sums_correction",
        ARBITER,
        HOST,
        {"share": Pad64()},
        learns="uniformly random values: each is under a pad that the guest draws",
        step="2",
        limit="each pad is used in one batch only",
        rows=None,
    ),
    Message(
        "shared_sums",
        HOST,
        GUEST,
        {"sums": Pad64(ROWS)},
        learns="the host's addend of every sum: as many numbers per row as the first joint layer of the guest has units",
        step="3",
        limit="fewer sums than the host has units; nobody knows the weights between units and sums",
        rows=None,
    ),
)
"""The messages of every batch of rows, in training and in scoring."""

MESSAGES = MessageSet(
    "vertical-mlp-dealer",
    *FORWARD,
    Message(
        "columns",
        HOST,
        ARBITER,
        {"count": Disclosed("int64", "the shape of the masks", "one number per run", SIZE)},
        learns="how many columns the sender has",
        step="0",
        limit="one number per run",
    ),
    Message("masked_slopes", GUEST, HOST, {"delta": Pad64()}, learns=_UNIFORM, step="4", limit=_ONCE, rows=None),
    Message("masked_share", HOST, GUEST, {"w": Pad64()}, learns=_UNIFORM, step="4", limit=_ONCE, rows=None),
    Message("masked_bends", HOST, GUEST, {"bend": Pad64()}, learns=_UNIFORM, step="4", limit=_ONCE, rows=None),
    Message(
        "masked_inputs",
        HOST,
        GUEST,
        {"x": Pad64()},
        learns="how many columns the sender has; their values are under a mask that only the sender and the arbiter know",
        step="4",
        limit=_ONCE,
        rows=None,
    ),
    Message(
        "corrections",
        ARBITER,
        HOST,
        {"share": Pad64()},
        learns="uniformly random values: each is under a pad that the guest draws",
        step="5",
        limit="each pad is used in one batch only",
        rows=None,
    ),
    Message(
        "shared_step",
        HOST,
        GUEST,
        {"step": Pad64()},
        learns="noise: the host adds numbers 2^60 times as large as the step of the weights, and keeps them",
        step="5",
        limit="noise is never used twice",
        rows=None,
    ),
    Message(
        "masked_unit_slopes",
        GUEST,
        HOST,
        {"through": Pad64(), "bent": Pad64()},
        learns=_UNIFORM,
        step="5",
        limit=_ONCE,
        rows=None,
    ),
    Message(
        "shared_gradient",
        GUEST,
        HOST,
        {"gradient": Pad64(NUMBERS)},
        learns="the recipient's own gradient, summed over the batch: one number per weight",
        step="6",
        limit="limits.minimum_rows_per_weight; batches are the same in every round",
        rows=None,
    ),
)


class Masks:
    """The masks from the seed of one party. Each name is used once in a batch between the guest and a host."""

    def __init__(self, session: Session, seed: bytes) -> None:
        self._session, self._prf = session, Prf(seed)

    @classmethod
    def received(cls, session: Session) -> Masks:
        """The masks of this party, from the seed that the arbiter sends. Raises :class:`BadSeed`."""
        assert session.arbiter is not None
        seed = session.scalar(session.receive("seed", session.arbiter), "seed")
        if len(seed) != SEED_BYTES:
            raise BadSeed(party=session.arbiter)
        return cls(session, seed)

    def draw(self, name: str, host: str, *shape: int) -> Wide:
        """Uniformly random values of this shape, for this round and batch."""
        moment = self._session.moment
        return wide.uniform(self._prf.stream(name, host, moment["round"], moment["part"]), *shape)


def shaped(table: pa.Table, column: str, sender: str, *shape: int) -> Wide:
    """A column of a received table as an array of ring values, of this shape. Raises :class:`WrongLength`."""
    values: Wide = Session.values(table, column).to_numpy(zero_copy_only=False)
    if len(values) != wide.WORDS * int(np.prod(shape)):
        raise WrongLength(f"Column {column} has {len(values)} words; the shape {shape} needs another number.", party=sender)
    return values.reshape(*shape, wide.WORDS)


def words(session: Session, name: str, column: str, sender: str, *shape: int) -> Wide:
    """Receive a message with a single column, and return it in this shape. Raises :class:`WrongLength`."""
    return shaped(session.receive(name, sender, wide.WORDS * int(np.prod(shape))), column, sender, *shape)


def inputs_of(session: Session, sender: str, rows: int, units: int) -> Wide:
    """Receive the masked columns of a host and its column of ones. Raises TooManyRows if there are more than allowed."""
    most = max(2, most_weights(session, rows) // units)
    table = session.receive("masked_inputs", sender, wide.WORDS * rows * most)
    columns = max(2, len(table) // (wide.WORDS * rows))
    return shaped(table, "x", sender, rows, columns)


def corrections_of(session: Session, rows: int, columns: int, units: int, sums: int) -> dict[str, Wide]:
    """Receive the corrections for the four backward products of a batch, by name. Raises :class:`WrongLength`."""
    assert session.arbiter is not None
    shapes = {"through": (rows, units), "step": (units, sums), "bent": (rows, units), "gradient": (columns + 1, units)}
    counts = [int(np.prod(shape)) for shape in shapes.values()]
    whole = words(session, "corrections", "share", session.arbiter, sum(counts))
    parts = np.split(whole, np.cumsum(counts)[:-1])
    return {name: part.reshape(*shape, wide.WORDS) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


class Dealer:
    """The arbiter in one training or scoring; ``learns`` is true in training. After the start it waits for no message."""

    def __init__(self, session: Session, learns: bool) -> None:
        network = network_of(session)
        assert network.bottom is not None
        self._session, self._units, self._sums = session, network.bottom, network.hidden[0]
        self.rows = int(session.scalar(session.receive("rows", session.guest), "count", 0, MOST_ROWS))
        if not 0 <= self.rows * max(network.bottom, network.hidden[0]) <= _MOST_VALUES:
            raise WrongLength(f"{self.rows} rows need more masks than are allowed.", party=session.guest)
        self._columns = {party: self._counted(party) for party in session.hosts} if learns else {}
        seeds = {party: session.prf("seed", party).derive("seed") for party in session.data_parties}
        for party, seed in seeds.items():
            session.send("seed", party, seed=seed)
        self._masks = {party: Masks(session, seed) for party, seed in seeds.items()}

    def _counted(self, party: str) -> int:
        count = int(self._session.scalar(self._session.receive("columns", party), "count", 0, MOST_COLUMNS))
        if not 0 < count * self.rows <= _MOST_VALUES:
            raise WrongLength(f"{count} columns and {self.rows} rows need more masks than are allowed.", party=party)
        return count

    def deal(self, rows: int, batch: int) -> None:
        """Send the corrections of a batch to every host. Raises :class:`WrongLength` if a batch needs too much memory."""
        self._session.within(batch)
        for host in self._session.hosts:
            if rows * max(self._units, self._sums, self._columns.get(host, 0) + 1) > _MOST_AT_ONCE:
                raise WrongLength(f"A batch of {rows} rows needs too much memory.", party=host)
            self._deal_sums(host, rows)
            if self._columns:
                self._deal_gradient(host, rows)

    def _deal_sums(self, host: str, rows: int) -> None:
        guests, hosts = self._masks[self._session.guest], self._masks[host]
        weights = guests.draw("weights", host, self._units, self._sums)
        sums = wide.product(hosts.draw("units", host, rows, self._units), weights)
        corrected = wide.subtract(sums, guests.draw("sums", host, rows, self._sums))
        self._session.send("sums_correction", host, share=corrected.ravel())

    def _deal_gradient(self, host: str, rows: int) -> None:
        guests, hosts = self._masks[self._session.guest], self._masks[host]
        by_unit, by_sum = (rows, self._units), (rows, self._sums)
        slopes, units = guests.draw("slopes", host, *by_sum), hosts.draw("units", host, *by_unit)
        share, bends = hosts.draw("share", host, self._units, self._sums), hosts.draw("bends", host, *by_unit)
        inputs = hosts.draw("inputs", host, rows, self._columns[host] + 1)
        products = {
            "through": wide.product(slopes, wide.transposed(share)),
            "step": wide.product(wide.transposed(units), slopes),
            "bent": wide.times(bends, guests.draw("masked through", host, *by_unit)),
            "gradient": wide.product(wide.transposed(inputs), guests.draw("masked bent", host, *by_unit)),
        }
        corrections = [wide.subtract(value, guests.draw(name, host, *value.shape[:-1])).ravel() for name, value in products.items()]
        self._session.send("corrections", host, share=np.concatenate(corrections))


def arbiter(session: Session) -> State:
    """The side of the arbiter in training. Returns its last state."""
    dealer = Dealer(session, True)
    sizes = [len(batch) for batch in parted(session, np.arange(dealer.rows))]
    state: State = session.latest or {"round": 0, "loss": []}
    for number in session.rounds():
        for batch, rows in enumerate(sizes):
            dealer.deal(rows, batch)
        session.within(None)
        state = session.checkpoint({"loss": []})
        session.report(round=number)
    return state
