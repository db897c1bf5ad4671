"""The final blocks that this party knows: one object per height, sealed to the party."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from tombolo.storage.canonical import canonical, parse
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import Vault
from tombolo.storage.stores.base import KeyMissing, KeyTaken, Store

_LARGEST = 1 << 26


class OtherBlock(CodedError):
    code = "TMB-LEDGER-004"
    cause = "Another block is already final at this height. This must never happen."
    remedy = "Keep the store as it is, and compare `tombolo audit show` at all parties."


class Blocks:
    """Final blocks of one agreement at ``ledger/<agreement>/blocks/<height>``; heights begin at 1.

    A stored document has the ``block`` that the parties signed, and the signatures that make it final.
    """

    def __init__(self, store: Store, vault: Vault, agreement: str) -> None:
        self._store, self._vault, self._prefix = store, vault, f"ledger/{agreement}/blocks/"

    def put(self, height: int, document: dict[str, Any]) -> dict[str, Any]:
        """Store a final block; returns the stored one, written first. Raises :class:`OtherBlock` if that is another block."""
        key = f"{self._prefix}{height:09d}"
        try:
            self._store.put(key, self._vault.seal(canonical(document), key), permanent=True)
        except KeyTaken:
            kept = self.get(height)
            if kept is None or kept["block"] != document["block"]:
                raise OtherBlock(f"Height {height}.") from None
            return kept
        return document

    def get(self, height: int) -> dict[str, Any] | None:
        """The document of a block; None if no block is final yet. Raises SealRefused if the bytes were changed."""
        key = f"{self._prefix}{height:09d}"
        try:
            document: dict[str, Any] = parse(self._vault.open(self._store.get(key), key), _LARGEST)
        except KeyMissing:
            return None
        return document

    def written(self, height: int) -> datetime:
        """When this party stored the block, by the clock of the store. Raises KeyMissing if it did not."""
        return self._store.stat(f"{self._prefix}{height:09d}").modified

    def height(self) -> int:
        """The height of the last final block; 0 if there is none."""
        keys = self._store.list(self._prefix)
        return int(keys[-1].rsplit("/", 1)[1]) if keys else 0

    def last(self) -> dict[str, Any] | None:
        """The document of the last final block; None if there is none."""
        return self.get(self.height())

    def all(self) -> Iterator[dict[str, Any]]:
        """The documents of all final blocks that this party has, in the order of their heights."""
        for key in self._store.list(self._prefix):
            document = self.get(int(key.rsplit("/", 1)[1]))
            if document is not None:
                yield document
