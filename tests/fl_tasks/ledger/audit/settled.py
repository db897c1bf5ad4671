"""A federation with settled runs, and the means to damage a store and look at what an audit says of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.federation import Federation, federation
from tombolo.agreements.settings import PartySettings
from tombolo.fl_tasks.crypto.paillier import MIN_BITS
from tombolo.fl_tasks.ledger.audit.findings import Audit
from tombolo.fl_tasks.ledger.audit.source import StoreSource
from tombolo.fl_tasks.ledger.audit.verify import verify_store
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.storage.canonical import canonical
from tombolo.storage.identity import PartyKeys


def settled(root: Path, runs: int = 2, **terms: object) -> Federation:
    """A clinic, a lab and a notary that joined and settled this many runs."""
    table = pa.table({"id": pa.array([f"p{number}" for number in range(30)]), "x": np.arange(30.0)})
    made = federation(root, {"clinic": table, "lab": table}, key_bits=MIN_BITS, **terms)
    for number in range(1, runs + 1):
        made.stage(settle, made.start(f"run-{number}"))
    return made


def source(fed: Federation, party: str) -> StoreSource:
    return StoreSource.open(fed.name, PartySettings.load(fed.settings(party)))


def audited(fed: Federation, party: str) -> Audit:
    return verify_store(source(fed, party))[0]


def named(fed: Federation, party: str) -> list[str]:
    """Names of the objects with findings, in order."""
    return [finding.name for finding in audited(fed, party).findings]


def path_of(fed: Federation, party: str, key: str) -> Path:
    return fed.root / party / "store" / key


def objects(fed: Federation, party: str, prefix: str = "") -> list[str]:
    return [key for key in source(fed, party).names(prefix) if path_of(fed, party, key).stat().st_size]


@contextmanager
def other_bytes(path: Path, data: bytes) -> Iterator[None]:
    """The file holds other bytes for a while."""
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(before)


@contextmanager
def flipped(path: Path, at: int) -> Iterator[None]:
    """One bit of the file is another for a while."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    with other_bytes(path, bytes(data)):
        yield


@contextmanager
def deleted(*paths: Path) -> Iterator[None]:
    """The files are gone for a while."""
    before = {path: path.read_bytes() for path in paths}
    for path in paths:
        path.unlink()
    try:
        yield
    finally:
        for path, data in before.items():
            path.write_bytes(data)


def resealed(fed: Federation, party: str, key: str, document: object) -> bytes:
    """What the party itself could write in place of an object: sealed with its own vault."""
    return PartyKeys.load(fed.root / party / "keys.json").vault.seal(canonical(document), key)
