"""Releases and odometers for tests."""

from __future__ import annotations

from typing import Any

from tombolo.fl_tasks.privacy.odometer import Odometer, Release
from tombolo.storage.identity import PartyKeys
from tombolo.storage.ledger.chain import segment_key
from tombolo.storage.stores.memory import MemoryStore

KEYS = PartyKeys.new("ann")


class Altered(MemoryStore):
    """A store whose objects somebody else can change."""

    def overwrite(self, key: str, data: bytes) -> None:
        self.delete(key)
        self.put(key, data)

    def flip(self, key: str, at: int) -> None:
        data = bytearray(self.get(key))
        data[at] ^= 1
        self.overwrite(key, bytes(data))


def release(item: str = "one", amount: float = 10.0, limit: float | None = 100.0, **other: Any) -> Release:
    given = {
        "agreement": "trial",
        "run": "run-1",
        "purpose": "train",
        "stage": "train",
        "meter": "progress",
        "to": ("ben",),
        "population": "people",
        **other,
    }
    return Release(item=item, amount=amount, limit=limit, **given)


def filled(store: Any, count: int = 4) -> Odometer:
    """An odometer with so many segments of ten bits each."""
    made = Odometer(store, KEYS)
    for number in range(count):
        made.pay([release(f"item-{number}")])
    return made


def segment(number: int, name: str = "_odometer") -> str:
    return segment_key(name, number)
