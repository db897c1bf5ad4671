"""The record: every segment in its place, signed, with exactly the entries that were signed.

One signature per segment stands for a thousand entries; of an entry nothing is done but what its hash and its name need.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from tombolo.agreements.kinds import ALONE
from tombolo.fl_tasks.ledger.audit.findings import Audit, Differs, Missing
from tombolo.fl_tasks.ledger.audit.source import AuditSource, Opened, keys_over_time, numbered
from tombolo.storage.canonical import canonical
from tombolo.storage.identity import SignatureRefused, VerifyKey
from tombolo.storage.ledger import merkle
from tombolo.storage.ledger.chain import DOMAIN, FIRST_PREVIOUS, BadSegment, Header
from tombolo.storage.ledger.entries import KINDS, BadEntry

PART = "record"
_KINDS = frozenset(KINDS)
_FIELDS = {"at", "body", "kind", "run", "subject"}
_decode = json.JSONDecoder().raw_decode


class Booked(NamedTuple):
    """What the record says of an artifact."""

    sha256: str
    size: int
    rows: int
    kinds: str


@dataclass
class RecordSummary:
    """What the other checks compare with: names by run (an artifact's with what was booked), and header digests by number.

    ``whole`` says that every segment up to the end could be read, so that what is not in here was not recorded.
    """

    heads: dict[int, str] = field(default_factory=dict)
    length: int = 0
    whole: bool = True
    names: dict[str, dict[str, Booked | None]] = field(default_factory=dict)
    manifests: dict[str, str] = field(default_factory=dict)
    settlements: dict[int, tuple[str, str]] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)

    def booked(self, book: str) -> Iterator[tuple[str, str, Booked]]:
        """Run, ``<peer>/<address>`` and booking of all artifacts of the ``sent`` or ``received`` book."""
        start = f"{book}:"
        for run, names in self.names.items():
            for name, value in names.items():
                if value is not None and name.startswith(start):
                    yield run, name[len(start) :], value


def check_record(audit: Audit, source: AuditSource) -> RecordSummary:
    """Look at every segment; returns what the record says."""
    record, previous = RecordSummary(), FIRST_PREVIOUS
    signers = _Signers(keys_over_time(source.agreement, source.party))
    for index, key in numbered(audit, PART, source, f"ledger/{source.agreement.name}/segments/"):
        gap, found = index != record.length + 1, len(audit.findings)
        record.length, known, previous = index, "" if gap else previous, ""
        with audit.at(PART, key):
            opened = source.segment(key)
            _check_header(opened.header, source, index, known)
            signers.check(opened)
            previous = record.heads[index] = opened.header.digest
            _take(record, opened)
            audit.count(PART, "segments")
            audit.count(PART, "entries", opened.header.count)
        record.whole = record.whole and not gap and len(audit.findings) == found
    if not record.length:
        audit.find(PART, f"ledger/{source.agreement.name}/", Missing("No run has begun, or this is another store."))
    return record


def _check_header(header: Header, source: AuditSource, index: int, previous: str) -> None:
    """``previous`` is empty where the segment before could not be verified; that is a finding of its own."""
    if (header.party, header.agreement, header.index) != (source.party, source.agreement.name, index):
        raise BadSegment("It is another one's.")
    if previous and header.previous != previous:
        raise BadSegment("It does not follow the one before it.")


class _Signers:
    """A party's keys in their order: one that was replaced signs nothing after its successor has."""

    def __init__(self, keys: list[VerifyKey]) -> None:
        self._keys = keys

    def check(self, opened: Opened) -> None:
        data = canonical(asdict(opened.header))
        for number, key in enumerate(self._keys):
            try:
                key.verify(opened.signature, DOMAIN, data)
            except SignatureRefused:
                continue
            self._keys = self._keys[number:]
            return
        raise SignatureRefused("No key that the agreement pins for the party, or one that was replaced before.")


def _take(record: RecordSummary, opened: Opened) -> None:
    """Compare a segment's lines with the signed root, and note what they say. Raises BadSegment, BadEntry or Differs."""
    lines = opened.lines.split(b"\n")
    if len(lines) != opened.header.count or merkle.root([merkle.leaf(line) for line in lines]).hex() != opened.header.root:
        raise BadSegment("Its entries are not those that were signed.")
    for entry in parsed(opened.lines):
        run, name = entry["run"], f"{entry['kind']}:{entry['subject']}"
        names = record.names.setdefault(run, {})
        if name in names:
            raise Differs(f"Run {run} has recorded {name} twice.")
        names[name] = _note(record, entry)


def _note(record: RecordSummary, entry: dict[str, Any]) -> Booked | None:
    kind, run, body = entry["kind"], entry["run"], entry["body"]
    if kind in ("sent", "received"):
        return Booked(body["sha256"], body["size"], body["rows"], sys.intern(",".join(body["kinds"])))
    if kind == "run" and entry["subject"] not in ALONE and body["manifest"] is not None:
        # nobody signs a manifest for a party's own affairs; a run without this party is named by its block
        record.manifests[run] = body["manifest"]
    elif kind == "settlement":
        record.settlements[int(entry["subject"])] = run, body["block"]
    elif kind == "erasure":
        record.erased.add(run)
    return None


def parsed(lines: bytes) -> Iterator[dict[str, Any]]:
    """The entries of a segment's lines; raises BadEntry at one that is none."""
    for line in lines.decode().split("\n"):
        try:
            entry, end = _decode(line)
        except ValueError:
            raise BadEntry() from None
        if end != len(line) or entry.keys() != _FIELDS or entry["kind"] not in _KINDS or type(entry["body"]) is not dict:
            raise BadEntry()
        if type(entry["run"]) is not str or type(entry["subject"]) is not str or type(entry["at"]) is not str:
            raise BadEntry()
        yield entry
