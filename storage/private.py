"""The private area of a party in its own store: objects that are sealed to the party and never changed."""

from __future__ import annotations

from tombolo.storage.identity import Vault
from tombolo.storage.stores.base import KeyMissing, KeyTaken, Store


class PrivateArea:
    """Objects under ``private/<prefix>/``, readable only with the party's vault.

    Nothing is overwritten. If a retry or an old process stores the same name again, the first bytes stay.
    """

    def __init__(self, store: Store, vault: Vault, *prefix: str) -> None:
        self._store, self._vault, self._prefix = store, vault, "/".join(("private", *prefix))

    def area(self, *prefix: str) -> PrivateArea:
        """A private area inside this one."""
        inner = PrivateArea(self._store, self._vault)
        inner._prefix = "/".join((self._prefix, *prefix))
        return inner

    def keep(self, name: str, data: bytes) -> bytes:
        """Store ``data`` unless the name exists; returns the stored bytes, which are those of the first writer."""
        key = f"{self._prefix}/{name}"
        try:
            self._store.put(key, self._vault.seal(data, key))
        except KeyTaken:
            return self._vault.open(self._store.get(key), key)
        return data

    def get(self, name: str) -> bytes | None:
        """The stored bytes; None if the name does not exist. Raises SealRefused if the bytes were changed."""
        key = f"{self._prefix}/{name}"
        try:
            return self._vault.open(self._store.get(key), key)
        except KeyMissing:
            return None

    def names(self, prefix: str = "") -> list[str]:
        """The names in this area that start with ``prefix``, sorted."""
        base = f"{self._prefix}/"
        return [key.removeprefix(base) for key in self._store.list(base + prefix)]

    def delete(self, name: str) -> None:
        """Delete an object (used for run keys after settlement, and by retention)."""
        self._store.delete(f"{self._prefix}/{name}")
