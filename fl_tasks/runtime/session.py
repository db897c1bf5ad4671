"""What a role program sees of a run: send, receive, rounds, checkpoints, and the secrets that make a replay give the same bytes.

A role program is a plain function of a :class:`Session`. It may be stopped anywhere and run again. Artifacts never change, and a
receive returns the same bytes again. If an artifact was already sent, the earlier one stays. Every random value that other parties
depend on comes from :meth:`Session.prf`, which gives the same bytes for the same run, round and transcript.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from tombolo.agreements.parameters import Parameters, TrainingParameters
from tombolo.fl_tasks.crypto.cluster import open_cluster
from tombolo.fl_tasks.crypto.paillier import MIN_BITS, PrivateKey
from tombolo.fl_tasks.crypto.pool import Pool, default_workers, open_pool
from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.runtime.checkpoints import Checkpoints, State
from tombolo.fl_tasks.runtime.columns import protect
from tombolo.fl_tasks.runtime.payments import Payments
from tombolo.fl_tasks.runtime.progress import Progress, log, log_progress
from tombolo.fl_tasks.runtime.secrets import Secrets
from tombolo.fl_tasks.runtime.state import COPIES, RunState
from tombolo.fl_tasks.runtime.waiting import Wait, Watch
from tombolo.storage.errors import CodedError
from tombolo.storage.exchange import Exchange, Receipt
from tombolo.storage.identity import SignatureRefused
from tombolo.storage.private import PrivateArea
from tombolo.storage.roles import AGGREGATOR, ARBITER, CLIENT, GUEST, HOST, INITIATORS
from tombolo.storage.schema import ForeignNumber, ForeignSchema, Message, MessageSet, assemble
from tombolo.storage.wire import pack_table

if TYPE_CHECKING:
    from tombolo.agreements.terms import Terms
    from tombolo.fl_tasks.privacy.odometer import Odometer
    from tombolo.storage.meters import Meter

P = TypeVar("P", bound=Parameters)
_SENDER = b"sender"
"""The metadata key under which a received table names its sender, inside the process only."""


class Session:
    """One party's view of one stage of a run.

    ``round`` is 0 before the first training round. All names are party names; ``roles`` is in the agreement's order. ``enrolled``
    are all clients of the agreement, also those that take no part in the run; thresholds count from them. With ``copies``, the
    session keeps a copy of everything that is sent to all clients, for clients that are admitted later. Every Paillier key, own or
    received, must have at least ``shortest_key`` bits. ``payments`` pay for what is sent.
    """

    def __init__(
        self,
        *,
        me: str,
        roles: Mapping[str, str],
        terms: Terms,
        params: Parameters,
        exchange: Exchange,
        messages: MessageSet,
        stage: str,
        private: PrivateArea,
        secrets: Secrets,
        watch: Watch,
        payments: Payments,
        progress: Progress = log_progress,
        leg_end: int | None = None,
        workers: int | None = None,
        executor: str | None = None,
        enrolled: Sequence[str] | None = None,
        copies: bool = False,
        shortest_key: int = MIN_BITS,
    ) -> None:
        self.me, self.roles, self.role, self.run = me, dict(roles), roles[me], exchange.run
        self.terms, self.params, self.stage = terms, params, stage
        self.state = RunState(private, self.run, stage)
        self.enrolled = self.clients if enrolled is None else list(enrolled)
        self._copies = copies
        self.shortest_key, self.payments = shortest_key, payments
        self.round = 0
        self.last_round = 0
        self._part: int | None = None
        self._exchange, self._messages, self._secrets = exchange, messages, secrets
        self._watch, self._progress, self._workers, self._executor = watch, progress, workers, executor
        self._leg_end = math.inf if leg_end is None else leg_end
        self._checkpoints = Checkpoints(self.state)
        self._stack = ExitStack()
        self._pool: Pool | None = None
        self._transcript = hashlib.sha256(f"{exchange.binding}/{stage}".encode()).digest()
        self._labels: set[tuple[str | int, ...]] = set()

    def __enter__(self) -> Session:
        self._watch.check_aborts(self.me)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._stack.close()
        if isinstance(error, CodedError):
            error.at(self.me, self.stage)

    # -- who is here ------------------------------------------------------------------------------------------------------

    def _with_role(self, *roles: str) -> list[str]:
        return [party for party, role in self.roles.items() if role in roles]

    @property
    def guest(self) -> str:
        """The guest's name."""
        return self._with_role(GUEST)[0]

    @property
    def hosts(self) -> list[str]:
        """The hosts' names, in the agreement's order."""
        return self._with_role(HOST)

    @property
    def arbiter(self) -> str | None:
        """The arbiter's name, None where there is no arbiter."""
        return next(iter(self._with_role(ARBITER)), None)

    @property
    def initiator(self) -> str:
        """The party that starts the agreement's runs."""
        return self._with_role(*INITIATORS)[0]

    @property
    def clients(self) -> list[str]:
        """The names of the clients that take part, in the agreement's order."""
        return self._with_role(CLIENT)

    @property
    def aggregator(self) -> str:
        """The aggregator's name."""
        return self._with_role(AGGREGATOR)[0]

    @property
    def data_parties(self) -> list[str]:
        """The hosts in the agreement's order, then the guest, as in the chain of the white paper's figure."""
        return [*self.hosts, self.guest]

    # -- messages ---------------------------------------------------------------------------------------------------------

    def send(self, name: str, to: str | Iterable[str] | None = None, /, **columns: Any) -> None:
        """Send message ``name`` to one party, to several, or to every party with a role that it is declared for.

        Open columns take scalars, lists or arrays; protected columns take Arrow arrays of their storage type (ciphertexts as
        fixed-size binary) or numpy uint64 for values under a 64-bit pad. Columns with a meter are paid
        for. Raises UndeclaredColumn or Spent before a byte is written.
        """
        message = self._message(name)
        wrapped = {key: protect(message, key, value) for key, value in columns.items()}
        recipients = self._recipients(message, to)
        if message.metered:
            last = self.round if self.last_round == 0 else int(min(self.last_round, self._leg_end))
            self.payments.pay(message, assemble(message, wrapped), recipients, self.round, last)
        if self._copies and to is None:
            copy = COPIES.of(self.round, message.step, message.name)
            self.state.keep(copy, bytes(pack_table(assemble(message, wrapped))))
        for recipient in recipients:
            self._exchange.send(message, recipient, self.round, wrapped)

    @property
    def odometer(self) -> Odometer:
        """What this party has released, over all runs and agreements."""
        return self.payments.odometer

    def limit(self, meter: Meter, amount: float | None) -> None:
        """Set the most of a meter that a recipient may have got; what is sent later is checked against it."""
        self.payments.limit(meter, amount)

    def prepaid(self, meter: Meter) -> None:
        """Say that this stage has paid for all that it sends on a meter."""
        self.payments.prepaid(meter)

    def receive(self, name: str, frm: str, rows: int | None = None, longest: int | None = None) -> pa.Table:
        """Wait for message ``name`` of this round, which has at most ``rows`` rows, and values of at most ``longest`` bytes.

        A message that is declared without a number of rows needs ``rows``. It is compared with the signed header before the table
        is read. Raises Waiting, PeerSilent, PeerAborted, or an error about the message.
        """
        message = self._message(name) if longest is None else self._message(name).shorter(longest)
        message.most_rows(rows)
        address = self._exchange.address(message.name, self.me, self.round, message.step)
        receipt = self._watch.until(lambda: self._fetch(message, frm, self.round, rows), frm, message.name, address.head())
        assert receipt is not None
        self._transcript = hashlib.sha256(self._transcript + bytes.fromhex(receipt.sha256)).digest()
        return receipt.table.replace_schema_metadata({_SENDER: frm})

    def peek(self, name: str, frm: str, round: int, rows: int | None = None) -> pa.Table | None:
        """Message ``name`` of a round if it is there, else None; without waiting. It does not change later random values."""
        receipt = self._fetch(self._message(name), frm, round, rows)
        return None if receipt is None else receipt.table.replace_schema_metadata({_SENDER: frm})

    def _fetch(self, message: Message, frm: str, round: int, rows: int | None) -> Receipt | None:
        return self._exchange.fetch(message, frm, round, rows)

    def until(self, attempt: Callable[[], object], frm: str, name: str, round: int) -> None:
        """Wait until ``attempt()`` returns something. Errors of waiting name the message ``name`` of ``frm`` as missing."""
        message = self._message(name)
        address = self._exchange.address(message.name, self.me, round, message.step)
        self._watch.until(attempt, frm, message.name, address.head())

    def gather(self, name: str, among: Sequence[str], seconds: float) -> list[str]:
        """The parties of ``among`` that have sent message ``name`` of this round.

        Returns when all have sent it, or ``seconds`` after the wait began. The messages are not read yet. Raises Waiting,
        PeerAborted or RunExpired.
        """
        message = self._message(name)
        key = self._exchange.address(message.name, self.me, self.round, message.step).head()

        def look() -> list[str]:
            return [party for party in among if self._exchange.present(message, party, self.round)]

        return self._watch.gather(look, among, seconds, message.name, key)

    def receive_each(self, name: str, rows: int | None = None) -> Iterator[tuple[str, pa.Table]]:
        """Message ``name`` of this round from every other party whose role sends it, in the agreement's order.

        It gives one message at a time, so that the caller can work on the first while the others are still missing.
        """
        message = self._message(name)
        for party, role in self.roles.items():
            if message.sent_by(role) and party != self.me:
                yield party, self.receive(name, party, rows)

    def receive_all(self, name: str, rows: int | None = None) -> dict[str, pa.Table]:
        """All of :meth:`receive_each`, by party."""
        return dict(self.receive_each(name, rows))

    @staticmethod
    def values(table: pa.Table, name: str) -> pa.Array:
        """A received column as an array of its storage type."""
        array = table.column(name).combine_chunks()
        if isinstance(array, pa.ChunkedArray):
            array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
        return array.storage

    @staticmethod
    def scalar(table: pa.Table, name: str, least: float = -math.inf, most: float = math.inf) -> Any:
        """The single value of a received column.

        Raises ForeignSchema for another length and ForeignNumber for a number out of bounds; both name the sender.
        """
        array, sender = Session.values(table, name), table.schema.metadata[_SENDER].decode()
        if len(array) != 1:
            raise ForeignSchema(f"Column {name} must hold one value, but holds {len(array)}.", party=sender)
        value = array[0].as_py()
        if isinstance(value, int | float) and not least <= value <= most:
            raise ForeignNumber(f"Column {name} is out of bounds.", party=sender)
        return value

    def _message(self, name: str) -> Message:
        message = self._messages[name]
        part = "" if self._part is None else f".{self._part}"
        return replace(message, step=f"{self.stage}.{message.step}{part}")

    def _recipients(self, message: Message, to: str | Iterable[str] | None) -> list[str]:
        if not message.sent_by(self.role):
            raise ValueError(f"{self.role} does not send {message.name}")
        declared = [party for party, role in self.roles.items() if message.heard_by(role) and party != self.me]
        wanted = declared if to is None else [to] if isinstance(to, str) else list(to)
        if not set(wanted) <= set(declared):
            raise ValueError(f"{message.name} is not declared for {sorted(set(wanted) - set(declared))}")
        return wanted

    # -- rounds and checkpoints -------------------------------------------------------------------------------------------

    @property
    def latest(self) -> State | None:
        """The state of the last finished round, with its number under ``round``."""
        return self._checkpoints.latest()

    def parameters(self, model: type[P]) -> P:
        """The run's parameters as an object of the class ``model``, a base class of the protocol's own parameters."""
        assert isinstance(self.params, model), f"the run has no {model.__name__}"
        return self.params

    def rounds(self, limit: int | None = None) -> Iterator[int]:
        """The rounds that are still to do, up to ``limit`` (by default from the parameters) and up to the end of this leg.

        Ends after a checkpoint that says ``stopped``.
        """
        limit = self.parameters(TrainingParameters).rounds if limit is None else limit
        self.last_round = limit
        while True:
            state = self._checkpoints.latest()
            done = state["round"] if state else 0
            if (state and state.get("stopped")) or done >= min(limit, self._leg_end):
                return
            self.enter(done + 1)
            yield self.round
            if (self._checkpoints.latest() or {}).get("round") != self.round:
                raise RuntimeError(f"round {self.round} ended without a checkpoint")

    def checkpoint(self, state: State) -> State:
        """Keep the round's state (arrays, numbers, strings, lists of numbers). Returns the state that was kept first."""
        return self._checkpoints.put(self.round, state)

    @property
    def another_round(self) -> bool:
        """Whether this leg may go on after the present round."""
        return self.round < min(self.last_round, self._leg_end)

    @property
    def finished(self) -> bool:
        """Whether training is over: the last checkpoint says ``stopped``, or belongs to the last planned round."""
        state = self.latest
        return state is not None and (bool(state.get("stopped")) or state["round"] >= self.last_round)

    def enter(self, round: int) -> None:
        """Begin a round (or a hop, in a stage without checkpoints). Later messages and this party's randomness belong to it."""
        self.round = round
        self._part = None
        self._transcript = hashlib.sha256(self._checkpoints.digest() + f"{self.stage}/{round}".encode()).digest()
        self._labels.clear()

    def within(self, part: int | None) -> None:
        """Begin a part of the round that repeats the same steps (a tree level, a batch of rows). Later messages belong to it."""
        self._part = part

    # -- secrets ----------------------------------------------------------------------------------------------------------

    def prf(self, *labels: str | int) -> Prf:
        """This party's own randomness for one purpose. It depends on run, stage, round and transcript, so a replay gives the same.

        Labels may be used only once per round, so that no mask is used twice.
        """
        if labels in self._labels:
            raise RuntimeError(f"labels {labels} were already used in this round")
        self._labels.add(labels)
        return Prf(Prf(self._secrets.own).derive(self.run, self.stage, self.round, self._transcript.hex(), *labels))

    def pair(self, other: str) -> Prf:
        """Randomness for this stage and round that only this party and ``other`` know (two data parties)."""
        return Prf(Prf(self._secrets.pairs[other]).derive(self.run, self.stage, self.round))

    def common(self) -> Prf:
        """Randomness for this stage and round that all data parties share. The arbiter does not know it."""
        if self._secrets.common is None:
            raise RuntimeError("the arbiter has no common secret")
        return Prf(Prf(self._secrets.common).derive(self.run, self.stage, self.round))

    @property
    def moment(self) -> dict[str, Any]:
        """The present place in the run, as a document: manifest, stage, round and part. Used in signatures and contexts."""
        return {"manifest": self._exchange.binding, "stage": self.stage, "round": self.round, "part": self._part}

    def sign(self, domain: str, data: bytes) -> bytes:
        """This party's signature over a statement that other parties than the recipient of an artifact must verify."""
        return self._exchange.me.signing.sign(domain, data)

    def verify(self, party: str, signature: bytes, domain: str, data: bytes) -> None:
        """Raise SignatureRefused unless another party's signature is good."""
        try:
            self._exchange.peers[party].verify.verify(signature, domain, data)
        except SignatureRefused as error:
            raise error.at(party) from None

    # -- progress and work ------------------------------------------------------------------------------------------------

    def report(self, **facts: Any) -> None:
        """Show facts that this party may know in the log or the progress display: a round, a loss, a count."""
        self._progress({"stage": self.stage, "party": self.me, **facts})

    @property
    def pool(self) -> Pool:
        """Workers for heavy ciphertext work without a private key: this party's cluster or processes, opened at first use."""
        if self._pool is None:
            opened = open_cluster(self._executor) if self._executor else open_pool(self._workers)
            self._pool = self._stack.enter_context(opened)
        return self._pool

    def holder_pool(self, private: PrivateKey) -> Pool:
        """A pool whose processes also hold this party's private key, and can decrypt; it is closed with the session.

        The processes always run on this machine. If there is no cluster, they do the other work too.
        """
        pool = self._stack.enter_context(open_pool(self._workers, private=private))
        if self._executor is None and self._pool is None:
            self._pool = pool
        return pool

    @property
    def threads(self) -> int:
        """How many threads may do work with secrets that must stay in this process, such as blinding with secret exponents."""
        return self._workers or default_workers()


__all__ = ["Progress", "Secrets", "Session", "Wait", "log", "log_progress"]
