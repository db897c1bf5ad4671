"""What an audit reads: a party's store with its vault, or a bundle. Both give opened objects by their keys in the store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tombolo.agreements.agreement import Agreement
from tombolo.agreements.settings import PartySettings
from tombolo.fl_tasks.ledger.audit.findings import Audit, Missing, Unreadable
from tombolo.fl_tasks.runtime.state import Item
from tombolo.storage.canonical import parse
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import PartyKeys, VerifyKey
from tombolo.storage.ledger.chain import Header, Segment
from tombolo.storage.stores.base import KeyMissing, Store

LARGEST = 1 << 28
_NUMBER = re.compile(r"\d{9}")


@dataclass(frozen=True)
class Opened:
    """A segment with its opened body: the lines, with line breaks between them."""

    header: Header
    signature: bytes
    lines: bytes


class AuditSource(Protocol):
    """Objects of one party's store that concern one agreement."""

    @property
    def party(self) -> str:
        """The party that owns the store."""

    @property
    def agreement(self) -> Agreement:
        """The agreement. Its signatures are not checked yet."""

    def names(self, prefix: str) -> list[str]:
        """Keys that start with ``prefix``, sorted."""

    def read(self, key: str) -> bytes:
        """The opened content of the object ``key``; raises KeyMissing, SealRefused or another error about the object."""

    def segment(self, key: str) -> Opened:
        """A segment of the record; raises KeyMissing, SealRefused or BadSegment."""


@dataclass(frozen=True)
class StoreSource:
    """A party's own store, opened with its vault."""

    agreement: Agreement
    keys: PartyKeys
    store: Store

    @classmethod
    def open(cls, name: str, settings: PartySettings, store: str | None = None) -> StoreSource:
        """Open the party's store for one agreement; a party that has left it can do so too. ``store`` is a copy to read instead."""
        agreement = Agreement.load(settings.federations / name, verify=False, plugins=settings.plugins)
        return cls(agreement, settings.load_keys(), settings.open_store(store or settings.store))

    @property
    def party(self) -> str:
        return self.keys.party

    def names(self, prefix: str) -> list[str]:
        return self.store.list(prefix)

    def read(self, key: str) -> bytes:
        return self.keys.vault.open(self.store.get(key), key)

    def segment(self, key: str) -> Opened:
        segment = Segment.decode(self.store.get(key))
        return Opened(segment.header, segment.signature, self.keys.vault.open(segment.sealed, key))


def agreements(settings: PartySettings) -> list[str]:
    """Names of the agreements that the party is or was a member of.

    Agreements that cannot be read are included; opening one of them raises the reason.
    """
    folders = sorted(path.parent for path in Path(settings.federations).glob("*/agreement.yaml"))
    return [folder.name for folder in folders if _concerns(settings, folder)]


def _concerns(settings: PartySettings, folder: Path) -> bool:
    try:
        chain = Agreement.load(folder, verify=False, plugins=settings.plugins).chain
    except CodedError:
        return True
    return any(settings.party in link.members for link in chain)


def run_key(source: AuditSource, run: str, item: Item[Any]) -> str:
    """The key of an object of a run."""
    return f"private/{source.agreement.name}/runs/{run}/{item.name}"


def objects_of(source: AuditSource, item: Item[Any]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """The key, run and fields of every object of a family, in all runs."""
    head = f"private/{source.agreement.name}/"
    for key in source.names(f"{head}runs/"):
        match = item.pattern().fullmatch(key.removeprefix(head))
        if match:
            yield key, key.split("/")[3], match.groups()


def read_document(source: AuditSource, key: str) -> Any:
    """The parsed canonical JSON of an object. Raises :class:`Missing` if there is no such object, or another error about it."""
    try:
        return parse(source.read(key), LARGEST)
    except KeyMissing:
        raise Missing() from None


def runs_with(source: AuditSource, item: Item[Any]) -> list[str]:
    """Runs that have an object."""
    return [run for _, run, _ in objects_of(source, item)]


def keys_over_time(agreement: Agreement, party: str) -> list[VerifyKey]:
    """A party's verification keys in the order in which the agreement pinned them, without repeats."""
    keys: list[VerifyKey] = []
    for link in agreement.chain:
        member = link.members.get(party)
        if member is not None and (not keys or keys[-1] != member.verify):
            keys.append(member.verify)
    return keys


def numbered(audit: Audit, part: str, source: AuditSource, prefix: str) -> Iterator[tuple[int, str]]:
    """Numbered objects in order. A gap is one finding, with the name of the first missing object."""
    expected = 1
    for key in source.names(prefix):
        text = key.removeprefix(prefix)
        if not _NUMBER.fullmatch(text) or int(text) < 1:
            audit.find(part, key, Unreadable("An object of the ledger cannot have this name."))
            continue
        number = int(text)
        if number > expected:
            last = f" to {prefix}{number - 1:09d}" if number - 1 > expected else ""
            audit.find(part, f"{prefix}{expected:09d}", Missing(f"All objects from here{last} are missing." if last else ""))
        expected = number + 1
        yield number, key
