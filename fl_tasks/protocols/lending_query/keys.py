"""What a party of the lending query keeps beyond a run: its exponents, the decryptor's key, and which indexes there are.

All of it lies in the private area ``history/lending``. A *series* is an index and those that bring it up to date: they share
exponents, so that unchanged customers need not pass the ring again. The name of an index is that of the run that built it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from tombolo.fl_tasks.crypto import ristretto
from tombolo.fl_tasks.crypto.paillier import MIN_BITS, PrivateKey, PublicKey, generate
from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.protocols.lending_query.errors import NoIndex
from tombolo.fl_tasks.protocols.lending_query.terms import QueryTerms
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.canonical import canonical, parse
from tombolo.storage.private import PrivateArea


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

    def __init__(self, history: PrivateArea, shortest_key: int = MIN_BITS) -> None:
        self.area, self._shortest = history.area("lending"), shortest_key

    @classmethod
    def of(cls, session: Session) -> Keeping:
        return cls(session.history, session.shortest_key)

    # -- exponents and keys ---------------------------------------------------------------------------------------------------

    def exponent(self, series: str) -> bytes:
        """This party's secret exponent of a series, drawn at first use."""
        return self.area.keep(f"exponents/{series}", _fresh_scalar())

    def earlier_exponent(self, series: str) -> bytes | None:
        """The same, where it has been drawn."""
        return self.area.get(f"exponents/{series}")

    def private_key(self, series: str, bits: int) -> PrivateKey:
        """The decryptor's key pair of a series, made at first use."""
        stored = self.area.get(f"paillier/{series}")
        if stored is None:
            stored = self.area.keep(f"paillier/{series}", generate(bits, self._shortest).to_bytes())
        return PrivateKey.from_bytes(stored, self._shortest)

    def keep_public(self, series: str, key: PublicKey) -> None:
        self.area.keep(f"public/{series}", key.to_bytes())

    def public_key(self, series: str) -> PublicKey:
        stored = self.area.get(f"public/{series}")
        if stored is None:
            raise NoIndex(f"Series {series}.")
        return PublicKey.from_bytes(stored, self._shortest)

    # -- indexes --------------------------------------------------------------------------------------------------------------

    def series(self, run: str, base: str | None) -> str:
        """The series that a new index belongs to. Raises :class:`NoIndex`."""
        return run if base is None else self.epoch(base).series

    def finished(self, epoch: Epoch) -> Epoch:
        """Remember an index that is complete; returns what is remembered."""
        return Epoch(**parse(self.area.keep(f"epochs/{epoch.run}", canonical(vars(epoch)))))

    def epoch(self, run: str) -> Epoch:
        """A finished index. Raises :class:`NoIndex`."""
        stored = self.area.get(f"epochs/{run}")
        if stored is None:
            raise NoIndex(f"Index {run}.")
        return Epoch(**parse(stored))

    def epochs(self) -> list[Epoch]:
        """All finished indexes, oldest first."""
        found = [self.epoch(name.removeprefix("epochs/")) for name in self.area.names("epochs/")]
        return sorted(found, key=lambda one: one.at)

    def layers(self, run: str | None) -> Iterator[Epoch]:
        """An index and those that it brings up to date, newest first."""
        while run is not None:
            epoch = self.epoch(run)
            yield epoch
            run = epoch.base

    def succeed(self, series: str) -> None:
        """Delete what opens or matches the indexes of all series but this one; their books stay."""
        for kind in ("exponents", "paillier", "public", "zeros"):
            for name in self.area.area(kind).names():
                if name.split("/")[0] != series:
                    self.area.area(kind).delete(name)
        mine = {epoch.run for epoch in self.epochs() if epoch.series == series}
        for kind in ("deposits", "customers"):
            for name in self.area.area(kind).names():
                if name.split("/")[0] not in mine:
                    self.area.area(kind).delete(name)


def terms_of(session: Session) -> QueryTerms:
    """The agreement's terms of the query."""
    query = session.terms.task.section(QueryTerms)
    assert query is not None
    return query


def _fresh_scalar() -> bytes:
    return ristretto.random_scalar(Prf(secrets.token_bytes(32)).stream())
