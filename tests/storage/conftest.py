"""Two or three parties over in-memory stores, without any protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tombolo.storage.books import Books
from tombolo.storage.exchange import Exchange, Peer, Self
from tombolo.storage.identity import PartyKeys
from tombolo.storage.private import PrivateArea
from tombolo.storage.stores.memory import MemoryStore

KEYS = {name: PartyKeys.new(name) for name in ("ann", "ben", "cy")}


@dataclass
class Wire:
    """Exchanges of ann, ben and cy in run ``r1`` under one binding; stores are plain and can be tampered with."""

    stores: dict[str, MemoryStore] = field(default_factory=lambda: {name: MemoryStore() for name in KEYS})

    def exchange(self, me: str, run: str = "r1", binding: str = "b1" * 32) -> Exchange:
        keys = KEYS[me]
        peers = {
            name: Peer(name, other.signing.public(), other.sealing.public(), self.stores[name])
            for name, other in KEYS.items()
            if name != me
        }
        books = Books(PrivateArea(self.stores[me], keys.vault, "agreement", run))
        return Exchange(Self(me, keys.signing, keys.sealing, self.stores[me]), peers, "agreement", run, binding, books)

    def change(self, store: str, key: str, how: Callable[[bytes], bytes]) -> None:
        """Alter an object behind its owner's back."""
        data = self.stores[store].get(key)
        self.stores[store].delete(key)
        self.stores[store].put(key, how(data))


@pytest.fixture
def wire() -> Wire:
    return Wire()
