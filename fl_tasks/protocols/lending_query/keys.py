"""What a party of the lending query keeps beyond a run: its exponents, the decryptor's key, and which indexes there are.

A *series* is an index and those that bring it up to date: they share
exponents, so that unchanged customers need not pass the ring again. The name of an index is that of the run that built it.
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
    """An index as a party remembers it: the run that built it, its series, the index that it brings up to date, and when."""

    run: str
    series: str
    base: str | None
    at: str
    lenders: int


class Keeping:
    """A party's lasting memory of the lending query; keys of fewer bits than ``shortest_key`` are refused."""

    def __init__(self, state: RunState, shortest_key: int = MIN_BITS) -> None:
        self.state, self._shortest = state, shortest_key

    @classmethod
    def of(cls, session: Session) -> Keeping:
        """As a session's party keeps it."""
        return cls(session.state, session.shortest_key)

    # -- exponents and keys ---------------------------------------------------------------------------------------------------

    def exponent(self, series: str) -> bytes:
        """This party's secret exponent of a series, drawn at first use."""
        return self.state.keep(EXPONENTS.of(series), _fresh_scalar())

    def earlier_exponent(self, series: str) -> bytes | None:
        """The same, where it has been drawn."""
        return self.state.get(EXPONENTS.of(series))

    def private_key(self, series: str, bits: int) -> PrivateKey:
        """The decryptor's key pair of a series, made at first use."""
        key = self.state.once(PAILLIER.of(series), lambda: generate(bits, self._shortest))
        check_size(key.public.bits, self._shortest)
        return key

    def keep_public(self, series: str, key: PublicKey) -> None:
        self.state.keep(PUBLIC.of(series), key)

    def public_key(self, series: str) -> PublicKey:
        key = self.state.get(PUBLIC.of(series))
        if key is None:
            raise NoIndex(f"Series {series}.")
        check_size(key.bits, self._shortest)
        return key

    # -- indexes --------------------------------------------------------------------------------------------------------------

    def series(self, run: str, base: str | None) -> str:
        """The series that a new index belongs to. Raises :class:`NoIndex`."""
        return run if base is None else self.epoch(base).series

    def finished(self, epoch: Epoch) -> Epoch:
        """Remember an index that is complete; returns what is remembered."""
        return Epoch(**self.state.keep(EPOCHS.of(epoch.run), vars(epoch)))

    def epoch(self, run: str) -> Epoch:
        """A finished index. Raises :class:`NoIndex`."""
        found = self.state.get(EPOCHS.of(run))
        if found is None:
            raise NoIndex(f"Index {run}.")
        return Epoch(**found)

    def epochs(self) -> list[Epoch]:
        """All finished indexes, oldest first."""
        found = [Epoch(**self.state[one]) for one in self.state.all(EPOCHS)]
        return sorted(found, key=lambda one: one.at)

    def layers(self, run: str | None) -> Iterator[Epoch]:
        """An index and those that it brings up to date, newest first."""
        while run is not None:
            epoch = self.epoch(run)
            yield epoch
            run = epoch.base

    def succeed(self, series: str) -> None:
        """Delete what opens or matches the indexes of all series but this one; their books stay."""
        mine = {epoch.run for epoch in self.epochs() if epoch.series == series}
        families: dict[Item[Any], set[str]] = {DEPOSITS: mine, CUSTOMERS: mine} | {one: {series} for one in INDEXED}
        for family, kept in families.items():
            for one in self.state.all(family):
                if one.key[0] not in kept:
                    self.state.delete(one)


def terms_of(session: Session) -> QueryTerms:
    """The agreement's terms of the query."""
    query = session.terms.task.section(QueryTerms)
    assert query is not None
    return query


def _fresh_scalar() -> bytes:
    return ristretto.random_scalar(Prf(secrets.token_bytes(32)).stream())
