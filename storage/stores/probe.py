"""Tests that a store never overwrites an object."""

from __future__ import annotations

import contextlib
import secrets

from tombolo.storage.stores.base import KeyTaken, NotCreateOnly, Store, StoreRefused


def check_create_only(store: Store, prefix: str = "probe") -> None:
    """Put one key twice. Raises :class:`NotCreateOnly` unless the second put is refused and the first bytes stay."""
    key = f"{prefix}/{secrets.token_hex(12)}"
    store.put(key, b"first")
    try:
        store.put(key, b"second")
    except KeyTaken:
        if store.get(key) == b"first":
            return
    finally:
        with contextlib.suppress(StoreRefused):  # a store may forbid its writer to delete
            store.delete(key)
    raise NotCreateOnly(store.url)
