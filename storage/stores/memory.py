"""A store in memory, for tests and experiments in one process."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from tombolo.storage.stores.base import ANY_SIZE, MOST_KEYS, KeyMissing, KeyTaken, Stat, TooLarge, check_key, check_prefix


class MemoryStore:
    """Objects in a dictionary; several threads may use it."""

    def __init__(self, name: str = "unnamed") -> None:
        self._name = name
        self._objects: dict[str, tuple[bytes, datetime]] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The store's address."""
        return f"memory://{self._name}"

    def put(self, key: str, data: bytes, permanent: bool = False) -> None:
        """Write a new object. Raises KeyTaken."""
        check_key(key)
        with self._lock:
            if key in self._objects:
                raise KeyTaken(key)
            self._objects[key] = (bytes(data), datetime.now(UTC))

    def get(self, key: str, most: int = ANY_SIZE) -> bytes:
        """Read an object. Raises KeyMissing or TooLarge."""
        data = self._find(key)[0]
        if len(data) > most:
            raise TooLarge(f"An object of {len(data)} bytes; at most {most} were expected.")
        return data

    def list(self, prefix: str = "", most: int = MOST_KEYS) -> list[str]:
        """Keys that start with ``prefix``, sorted. Raises TooLarge."""
        check_prefix(prefix)
        with self._lock:
            keys = sorted(key for key in self._objects if key.startswith(prefix))
        if len(keys) > most:
            raise TooLarge(f"More than {most} objects.")
        return keys

    def delete(self, key: str) -> None:
        """Delete an object. A missing object is not an error."""
        with self._lock:
            self._objects.pop(check_key(key), None)

    def stat(self, key: str) -> Stat:
        """Size and time of an object. Raises KeyMissing."""
        data, modified = self._find(key)
        return Stat(len(data), modified)

    def _find(self, key: str) -> tuple[bytes, datetime]:
        try:
            return self._objects[check_key(key)]
        except KeyError:
            raise KeyMissing(key) from None
