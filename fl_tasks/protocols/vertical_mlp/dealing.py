"""The arbiter's part in a vertical network on shares: masks by seed, and corrections made of masks alone (Beaver 1991).

One of guest and host knows a, the other b; the dealer and the owner of each draw its mask A or B from the owner's seed, and the
dealer and the guest a pad c. With e = a - A and f = b - B shown to each other,

    a b  =  (e b + c)  +  (A f + (A B - c))          the guest's share and the host's, where the host knows a
    a b  =  (a f + c)  +  (e B + (A B - c))          where the guest knows a

The guest's share is all its own, and of the host's the dealer sends A B - c. Either share is uniform by itself, modulo 2^192.
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
from tombolo.storage.roles import ARBITER, DATA, GUEST, HOST
from tombolo.storage.schema import Disclosed, Message, MessageSet, Pad64, Public

_MOST_VALUES, _MOST_AT_ONCE = 1 << 32, 1 << 27
"""Of one mask in a whole training, and in a batch: 3 GiB."""
_UNIFORM = "uniformly random values: each is under a mask that only the sender and the arbiter know"
_ONCE = "a mask is for one batch; **together with the arbiter the recipient could take it off**"
FORWARD = (
    Message(
        "rows",
        GUEST,
        ARBITER,
        {"count": Disclosed("int64", "the shape of the masks", "one number per training or scoring")},
        learns="how many rows are learnt from or scored",
        step="0",
        limit="one number",
    ),
    Message(
        "seed",
        ARBITER,
        DATA,
        {"seed": Public("binary", "a random seed of masks; independent of all data")},
        learns="its own masks of this run",
        step="0",
    ),
    Message("masked_units", HOST, GUEST, {"alpha": Pad64()}, learns=_UNIFORM, step="1", limit=_ONCE),
    Message("masked_weights", GUEST, HOST, {"w": Pad64()}, learns=_UNIFORM, step="1", limit=_ONCE),
    Message(
        "sums_correction",
        ARBITER,
        HOST,
        {"share": Pad64()},
        learns="uniformly random values: a pad that the guest draws is in each",
        step="2",
        limit="a pad is for one batch",
    ),
    Message(
        "shared_sums",
        HOST,
        GUEST,
        {"sums": Pad64()},
        learns="the host's addend of every sum: so many numbers per row as the guest's first joint layer has units",
        step="3",
        limit="fewer sums than the host has units; the weights between them are known to nobody",
    ),
)
"""Of every batch of rows, in training and in scoring."""

MESSAGES = MessageSet(
    "vertical-mlp-dealer",
    *FORWARD,
    Message(
        "columns",
        HOST,
        ARBITER,
        {"count": Disclosed("int64", "the shape of the masks", "one number per run")},
        learns="the sender's number of columns",
        step="0",
        limit="one number per run",
    ),
    Message("masked_slopes", GUEST, HOST, {"delta": Pad64()}, learns=_UNIFORM, step="4", limit=_ONCE),
    Message("masked_share", HOST, GUEST, {"w": Pad64()}, learns=_UNIFORM, step="4", limit=_ONCE),
    Message("masked_bends", HOST, GUEST, {"bend": Pad64()}, learns=_UNIFORM, step="4", limit=_ONCE),
    Message(
        "masked_inputs",
        HOST,
        GUEST,
        {"x": Pad64()},
        learns="the sender's number of columns; their values are uniform under a mask that the sender and the arbiter know",
        step="4",
        limit=_ONCE,
    ),
    Message(
        "corrections",
        ARBITER,
        HOST,
        {"share": Pad64()},
        learns="uniformly random values: a pad that the guest draws is in each",
        step="5",
        limit="a pad is for one batch",
    ),
    Message(
        "shared_step",
        HOST,
        GUEST,
        {"step": Pad64()},
        learns="noise: the weights' step disappears in numbers 2^60 times as large, which stay with the host",
        step="5",
        limit="noise is never used twice",
    ),
    Message(
        "masked_unit_slopes",
        GUEST,
        HOST,
        {"through": Pad64(), "bent": Pad64()},
        learns=_UNIFORM,
        step="5",
        limit=_ONCE,
    ),
    Message(
        "shared_gradient",
        GUEST,
        HOST,
        {"gradient": Pad64()},
        learns="its own gradient, summed over the batch: one number per own weight",
        step="6",
        limit="limits.minimum_rows_per_weight; batches are the same in every round",
    ),
)


class Masks:
    """What one party's seed stands for; a name is for one use in a batch between the guest and a host."""

    def __init__(self, session: Session, seed: bytes) -> None:
        self._session, self._prf = session, Prf(seed)

    @classmethod
    def received(cls, session: Session) -> Masks:
        """This party's, from the arbiter. Raises :class:`BadSeed`."""
        assert session.arbiter is not None
        seed = session.scalar(session.receive("seed", session.arbiter), "seed")
        if len(seed) != SEED_BYTES:
            raise BadSeed(party=session.arbiter)
        return cls(session, seed)

    def draw(self, name: str, host: str, *shape: int) -> Wide:
        """Uniform, for this round and batch."""
        moment = self._session.moment
        return wide.uniform(self._prf.stream(name, host, moment["round"], moment["part"]), *shape)


def shaped(table: pa.Table, column: str, sender: str, *shape: int) -> Wide:
    """A column of a received table as an array of the ring; raises :class:`WrongLength`."""
    values: Wide = Session.values(table, column).to_numpy(zero_copy_only=False)
    if len(values) != wide.WORDS * int(np.prod(shape)):
        raise WrongLength(f"Column {column}: {len(values)} words for {shape} values.", party=sender)
    return values.reshape(*shape, wide.WORDS)


def words(session: Session, name: str, column: str, sender: str, *shape: int) -> Wide:
    """The one column of a message; raises :class:`WrongLength`."""
    return shaped(session.receive(name, sender), column, sender, *shape)


def inputs_of(session: Session, sender: str, rows: int, units: int) -> Wide:
    """A host's masked columns and its ones, however many there are that its guard lets pass; raises :class:`WrongLength`."""
    table = session.receive("masked_inputs", sender)
    columns = max(2, len(table) // (wide.WORDS * rows))
    if columns * units > most_weights(session, rows):
        raise WrongLength(f"Gradients of {columns * units} weights over {rows} rows.", party=sender)
    return shaped(table, "x", sender, rows, columns)


def corrections_of(session: Session, rows: int, columns: int, units: int, sums: int) -> dict[str, Wide]:
    """The dealer's part of a batch's four products on the way back, by name; raises :class:`WrongLength`."""
    assert session.arbiter is not None
    shapes = {"through": (rows, units), "step": (units, sums), "bent": (rows, units), "gradient": (columns + 1, units)}
    counts = [int(np.prod(shape)) for shape in shapes.values()]
    whole = words(session, "corrections", "share", session.arbiter, sum(counts))
    parts = np.split(whole, np.cumsum(counts)[:-1])
    return {name: part.reshape(*shape, wide.WORDS) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


class Dealer:
    """The arbiter's side of one training or scoring; ``learns`` as at the data parties. It waits for nobody after its start."""

    def __init__(self, session: Session, learns: bool) -> None:
        network = network_of(session)
        assert network.bottom is not None
        self._session, self._units, self._sums = session, network.bottom, network.hidden[0]
        self.rows = int(session.scalar(session.receive("rows", session.guest), "count", 0, MOST_ROWS))
        if not 0 <= self.rows * max(network.bottom, network.hidden[0]) <= _MOST_VALUES:
            raise WrongLength(f"{self.rows} rows.", party=session.guest)
        self._columns = {party: self._counted(party) for party in session.hosts} if learns else {}
        seeds = {party: session.prf("seed", party).derive("seed") for party in session.data_parties}
        for party, seed in seeds.items():
            session.send("seed", party, seed=seed)
        self._masks = {party: Masks(session, seed) for party, seed in seeds.items()}

    def _counted(self, party: str) -> int:
        count = int(self._session.scalar(self._session.receive("columns", party), "count", 0, MOST_COLUMNS))
        if not 0 < count * self.rows <= _MOST_VALUES:
            raise WrongLength(f"{count} columns of {self.rows} rows.", party=party)
        return count

    def deal(self, rows: int, batch: int) -> None:
        """A batch's corrections for every host. Raises :class:`WrongLength` for more than this machine should be asked to hold."""
        self._session.within(batch)
        for host in self._session.hosts:
            if rows * max(self._units, self._sums, self._columns.get(host, 0) + 1) > _MOST_AT_ONCE:
                raise WrongLength(f"{rows} rows in a batch.", party=host)
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
        made = [wide.subtract(one, guests.draw(name, host, *one.shape[:-1])).ravel() for name, one in products.items()]
        self._session.send("corrections", host, share=np.concatenate(made))


def arbiter(session: Session) -> State:
    """The arbiter's side of training; returns the last state."""
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
