"""The lists of clients that close a sum's steps, as every client checks them, and what clients sign about them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from tombolo.agreements.horizontal import HorizontalTerms
from tombolo.fl_tasks.learning.horizontal.secagg.graph import Graph
from tombolo.fl_tasks.learning.horizontal.secagg.keys import PublicKeys
from tombolo.fl_tasks.learning.horizontal.secagg.messages import BelowThreshold, ForeignList
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.canonical import canonical, digest

KEYS_DOMAIN, SURVIVORS_DOMAIN = "secagg keys", "secagg survivors"
LEAST_SURVIVORS = 3
"""With two clients, each would learn the other's values from the sum."""


@dataclass(frozen=True)
class Roster:
    """The clients of one sum with their keys, in the agreement's order; a client's place is its number among Shamir's holders.

    ``members`` counts the agreement's clients, ``moment`` says which sum this is.
    """

    keys: Mapping[str, PublicKeys]
    threshold: int
    members: int
    moment: Mapping[str, Any]

    @classmethod
    def of(cls, session: Session, keys: Mapping[str, PublicKeys], threshold: int) -> Roster:
        """The roster of the session's sum."""
        return cls(keys, threshold, len(session.enrolled), session.moment)

    @cached_property
    def names(self) -> list[str]:
        """The clients' names, in order."""
        return list(self.keys)

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The place of each client, from 1."""
        return {name: place for place, name in enumerate(self.names, start=1)}

    @cached_property
    def graph(self) -> Graph:
        """The neighbours of each client. The graph depends on the whole roster, so nobody can choose it."""
        seed = hashlib.sha256(self.context("graph")).digest()
        return Graph.draw(seed, len(self.names), self.members, self.threshold)

    def holders(self, client: str) -> list[str]:
        """The clients that hold a share of a client's secrets: its neighbours and itself, in the roster's order."""
        return [self.names[place - 1] for place in self.graph.holders(self.places[client])]

    def neighbours(self, client: str, among: Collection[str]) -> list[str]:
        """The clients of ``among`` that share masks with ``client``."""
        return [name for name in self.holders(client) if name != client and name in among]

    def require(self, left: Collection[str], party: str) -> None:
        """Raise :class:`BelowThreshold`, naming ``party``, unless the clients ``left`` are enough everywhere in the graph."""
        enough(left, self.threshold, party)
        if not self.graph.keeps({self.places[name] for name in left}):
            raise BelowThreshold(f"Fewer than {self.graph.threshold} clients are left in a neighbourhood.", party=party)

    @cached_property
    def _digest(self) -> str:
        return digest([[name, keys.joined().hex()] for name, keys in self.keys.items()])

    def context(self, *labels: str) -> bytes:
        """What binds a key or a ciphertext to this sum, this roster and a purpose."""
        return canonical({**self.moment, "roster": self._digest, "threshold": self.threshold, "labels": list(labels)})


def listed(session: Session, table: pa.Table, among: Sequence[str], threshold: int) -> list[str]:
    """The clients that a received list names: some of ``among``, in that order. Raises ForeignList or BelowThreshold."""
    names: list[str] = session.values(table, "client").to_pylist()
    if names != [name for name in among if name in set(names)]:
        raise ForeignList(party=session.aggregator)
    enough(names, threshold, session.aggregator)
    return names


def least_clients(horizontal: HorizontalTerms, clients: int) -> int:
    """How many of an agreement's ``clients`` clients must be in a run that may go on without the others."""
    return max(horizontal.threshold_of(clients), LEAST_SURVIVORS)


def enough(names: Collection[str], threshold: int, party: str) -> None:
    """Raise :class:`BelowThreshold` if there are too few clients for a sum."""
    least = max(threshold, LEAST_SURVIVORS)
    if len(names) < least:
        raise BelowThreshold(f"{len(names)} of at least {least} clients.", party=party)


def keys_statement(session: Session, keys: bytes) -> bytes:
    """What a client signs about its keys."""
    return canonical({**session.moment, "keys": keys.hex()})


def read_keys(session: Session, party: str, joined: bytes, signature: bytes) -> PublicKeys:
    """A client's keys, signed by itself. Raises ForeignKey or SignatureRefused."""
    session.verify(party, signature, KEYS_DOMAIN, keys_statement(session, joined))
    return PublicKeys.of(joined, party)


def survivors_statement(roster: Roster, sharers: Sequence[str], survivors: Sequence[str]) -> bytes:
    """What a client signs about the survivors: all lists of the sum. Clients that sign the same have seen the same lists."""
    return canonical({"sum": roster.context().decode(), "sharers": list(sharers), "survivors": list(survivors)})
