"""What a party of the lending query keeps between runs: its exponents, the key of the decryptor, and the list of indexes.

A *series* is an index together with the later indexes that update it. They share exponents, so unchanged customers need not pass
the ring again. An *epoch* is the time in which one index is the latest. An index has the name of the run that built it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tombolo.fl_tasks.crypto import ristretto
from tombolo.fl_tasks.crypto.paillier import MIN_BITS, PrivateKey, PublicKey, check_size, generate
from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.protocols.lending_query.errors import NoIndex
from tombolo.fl_tasks.protocols.lending_query.state import CUSTOMERS, DEPOSITS, EPOCHS, EXPONENTS, INDEXED, PAILLIER, PUBLIC
from tombolo.fl_tasks.protocols.lending_query.terms import QueryTerms
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.runtime.state import Item, RunState


@dataclass(frozen=True)
class Epoch:
    """What a party keeps about an index: the run that built it, its series, the index that it updates, its time and its lenders."""

    run: str
    series: str
    base: str | None
    at: str
    lenders: int


class Keeping:
    """What a party keeps of the lending query between runs. Keys of fewer bits than ``shortest_key`` are refused."""

    def __init__(self, state: RunState, shortest_key: int = MIN_BITS) -> None:
        self.state, self._shortest = state, shortest_key

    @classmethod
    def of(cls, session: Session) -> Keeping:
        """The lasting state of the party of a session."""
        return cls(session.state, session.shortest_key)

    # -- exponents and keys ---------------------------------------------------------------------------------------------------

    def exponent(self, series: str) -> bytes:
        """The secret exponent of this party for a series, drawn at first use."""
        return self.state.keep(EXPONENTS.of(series), _fresh_scalar())

    def earlier_exponent(self, series: str) -> bytes | None:
        """The secret exponent of this party for a series; None if it was never drawn."""
        return self.state.get(EXPONENTS.of(series))

    def private_key(self, series: str, bits: int) -> PrivateKey:
        """The key pair of the decryptor for a series, made at first use."""
        key = self.state.once(PAILLIER.of(series), lambda: generate(bits, self._shortest))
        check_size(key.public.bits, self._shortest)
        return key

    def keep_public(self, series: str, key: PublicKey) -> None:
        """Keep the public key of the decryptor for a series."""
        self.state.keep(PUBLIC.of(series), key)

    def public_key(self, series: str) -> PublicKey:
        """The public key of the decryptor for a series. Raises :class:`NoIndex`."""
        key = self.state.get(PUBLIC.of(series))
        if key is None:
            raise NoIndex(f"There is no key for series {series}.")
        check_size(key.bits, self._shortest)
        return key

    # -- indexes --------------------------------------------------------------------------------------------------------------

    def series(self, run: str, base: str | None) -> str:
        """The series of a new index: a new series, or that of the index ``base`` which it updates. Raises :class:`NoIndex`."""
        return run if base is None else self.epoch(base).series

    def finished(self, epoch: Epoch) -> Epoch:
        """Keep a complete index. Returns what is kept: the first call decides."""
        return Epoch(**self.state.keep(EPOCHS.of(epoch.run), vars(epoch)))

    def epoch(self, run: str) -> Epoch:
        """The finished index of a run. Raises :class:`NoIndex`."""
        document = self.state.get(EPOCHS.of(run))
        if document is None:
            raise NoIndex(f"There is no index {run}.")
        return Epoch(**document)

    def epochs(self) -> list[Epoch]:
        """All finished indexes, oldest first."""
        epochs = [Epoch(**self.state[item]) for item in self.state.all(EPOCHS)]
        return sorted(epochs, key=lambda epoch: epoch.at)

    def layers(self, run: str | None) -> Iterator[Epoch]:
        """An index and the earlier indexes that it updates, newest first."""
        while run is not None:
            epoch = self.epoch(run)
            yield epoch
            run = epoch.base

    def succeed(self, series: str) -> None:
        """Delete the keys, exponents and deposits of all series but this one. The books of the other series stay."""
        current = {epoch.run for epoch in self.epochs() if epoch.series == series}
        families: dict[Item[Any], set[str]] = {DEPOSITS: current, CUSTOMERS: current} | {family: {series} for family in INDEXED}
        for family, kept in families.items():
            for item in self.state.all(family):
                if item.key[0] not in kept:
                    self.state.delete(item)


def terms_of(session: Session) -> QueryTerms:
    """The section ``query`` of the terms."""
    query = session.terms.task.section(QueryTerms)
    assert query is not None
    return query


def _fresh_scalar() -> bytes:
    return ristretto.random_scalar(Prf(secrets.token_bytes(32)).stream())
