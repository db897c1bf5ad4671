"""The lists of clients that close a sum's steps, as every client checks them, and what clients sign about them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from fl_tasks.horizontal.secagg.contract import BelowThreshold, ForeignList
from fl_tasks.horizontal.secagg.keys import ForeignKey, PublicKeys
from fl_tasks.session import Session
from storage.canonical import canonical, digest

KEYS_DOMAIN, SURVIVORS_DOMAIN = "secagg keys", "secagg survivors"
LEAST_SURVIVORS = 3
"""Among two clients, each would know the other's values from the sum."""


@dataclass(frozen=True)
class Roster:
    """The clients of one sum with their keys, in the agreement's order; a client's place is its number among Shamir's holders."""

    keys: Mapping[str, PublicKeys]
    threshold: int

    @property
    def names(self) -> list[str]:
        return list(self.keys)

    def place(self, client: str) -> int:
        return self.names.index(client) + 1

    def context(self, session: Session, *labels: str) -> bytes:
        """What binds a key or a ciphertext to this sum, this roster and a purpose."""
        members = digest([[name, keys.joined().hex()] for name, keys in self.keys.items()])
        return canonical({**session.moment, "roster": members, "threshold": self.threshold, "labels": list(labels)})


def listed(session: Session, table: pa.Table, among: Sequence[str], threshold: int) -> list[str]:
    """The clients that a received list names: some of ``among``, in that order. Raises ForeignList or BelowThreshold."""
    names: list[str] = session.values(table, "client").to_pylist()
    if names != [name for name in among if name in set(names)]:
        raise ForeignList(party=session.aggregator)
    enough(names, threshold, session.aggregator)
    return names


def enough(names: Collection[str], threshold: int, party: str) -> None:
    """Raise :class:`BelowThreshold` unless so many clients may be summed."""
    least = max(threshold, LEAST_SURVIVORS)
    if len(names) < least:
        raise BelowThreshold(f"{len(names)} of at least {least}.", party=party)


def keys_statement(session: Session, keys: bytes) -> bytes:
    """What a client signs of its keys."""
    return canonical({**session.moment, "keys": keys.hex()})


def read_keys(session: Session, party: str, joined: bytes, signature: bytes) -> PublicKeys:
    """A client's keys, signed by itself. Raises ForeignKey or SignatureRefused."""
    keys = PublicKeys.of(joined)
    if keys is None:
        raise ForeignKey(party=party)
    session.verify(party, signature, KEYS_DOMAIN, keys_statement(session, joined))
    return keys


def survivors_statement(session: Session, roster: Roster, sharers: Sequence[str], survivors: Sequence[str]) -> bytes:
    """What a client signs of the survivors: all lists of the sum, so that those who sign the same have seen the same."""
    return canonical({"sum": roster.context(session).decode(), "sharers": list(sharers), "survivors": list(survivors)})
