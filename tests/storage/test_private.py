"""The private area: create-only, sealed to the party, and books over it."""

from __future__ import annotations

import pytest

from tombolo.storage.identity import SealRefused, Vault
from tombolo.storage.private import PrivateArea
from tombolo.storage.stores.memory import MemoryStore


def test_the_first_writer_wins_and_nobody_else_reads():
    store, vault = MemoryStore(), Vault.new()
    area = PrivateArea(store, vault, "wdbc").area("runs", "r1")
    assert area.keep("model", b"first") == b"first"
    assert area.keep("model", b"second") == b"first"
    assert area.get("model") == b"first" and area.get("other") is None
    assert area.names() == ["model"]
    assert b"first" not in store.get("private/wdbc/runs/r1/model")
    with pytest.raises(SealRefused):
        PrivateArea(store, Vault.new(), "wdbc", "runs", "r1").get("model")


def test_objects_cannot_change_places():
    store, vault = MemoryStore(), Vault.new()
    area = PrivateArea(store, vault, "a")
    area.keep("x", b"1")
    store.put("private/a/y", store.get("private/a/x"))
    with pytest.raises(SealRefused):
        area.get("y")
