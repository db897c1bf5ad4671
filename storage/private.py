"""A party's private area in its own store: create-only objects sealed to the party itself."""

from __future__ import annotations

from tombolo.storage.identity import Vault
from tombolo.storage.stores.base import KeyMissing, KeyTaken, Store


class PrivateArea:
    """Objects under ``private/<prefix>/``, readable only with the party's vault.

    Nothing is overwritten: a retry or a forgotten old process that stores the same name again finds the first bytes.
    """

    def __init__(self, store: Store, vault: Vault, *prefix: str) -> None:
        self._store, self._vault, self._prefix = store, vault, "/".join(("private", *prefix))

    def area(self, *prefix: str) -> PrivateArea:
        """The private area one or more folders further down."""
        inner = PrivateArea(self._store, self._vault)
        inner._prefix = "/".join((self._prefix, *prefix))
        return inner

    def keep(self, name: str, data: bytes) -> bytes:
        """Store ``data`` unless the name is taken; return what is stored now (the first writer's bytes)."""
        key = f"{self._prefix}/{name}"
        try:
            self._store.put(key, self._vault.seal(data, key))
        except KeyTaken:
            return self._vault.open(self._store.get(key), key)
        return data

    def get(self, name: str) -> bytes | None:
        """The stored bytes, or None where nothing is stored under the name; raises SealRefused on altered bytes."""
        key = f"{self._prefix}/{name}"
        try:
            return self._vault.open(self._store.get(key), key)
        except KeyMissing:
            return None

    def names(self, prefix: str = "") -> list[str]:
        """Names in this area that start with ``prefix``, sorted."""
        base = f"{self._prefix}/"
        return [key.removeprefix(base) for key in self._store.list(base + prefix)]

    def delete(self, name: str) -> None:
        """Remove an object for good (run keys after settlement, retention)."""
        self._store.delete(f"{self._prefix}/{name}")
