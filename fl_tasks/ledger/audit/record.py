"""The record: every segment must be in its place and signed, with exactly the entries that were signed.

One signature covers a segment of about a thousand entries. To be fast, the check of an entry uses only its hash and its name.
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
    """What the record says about an artifact."""

    sha256: str
    size: int
    rows: int
    kinds: str


@dataclass
class RecordSummary:
    """What the record says, for the other checks.

    ``names``: the names of the entries, by run; for an artifact with its booking. ``heads``: the digests of the segment headers, by
    number. ``whole``: every segment up to the end could be read, so an entry that is not in here was not recorded.
    """

    heads: dict[int, str] = field(default_factory=dict)
    length: int = 0
    whole: bool = True
    names: dict[str, dict[str, Booked | None]] = field(default_factory=dict)
    manifests: dict[str, str] = field(default_factory=dict)
    settlements: dict[int, tuple[str, str]] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)

    def booked(self, book: str) -> Iterator[tuple[str, str, Booked]]:
        """The run, ``<peer>/<address>`` and booking of all artifacts of one book (``sent`` or ``received``)."""
        start = f"{book}:"
        for run, names in self.names.items():
            for name, value in names.items():
                if value is not None and name.startswith(start):
                    yield run, name[len(start) :], value


def check_record(audit: Audit, source: AuditSource) -> RecordSummary:
    """Check every segment; returns what the record says."""
    record, previous = RecordSummary(), FIRST_PREVIOUS
    signers = _Signers(keys_over_time(source.agreement, source.party))
    for index, key in numbered(audit, PART, source, f"ledger/{source.agreement.name}/segments/"):
        gap, findings_before = index != record.length + 1, len(audit.findings)
        record.length, known, previous = index, "" if gap else previous, ""
        with audit.at(PART, key):
            opened = source.segment(key)
            _check_header(opened.header, source, index, known)
            signers.check(opened)
            previous = record.heads[index] = opened.header.digest
            _take(record, opened)
            audit.count(PART, "segments")
            audit.count(PART, "entries", opened.header.count)
        record.whole = record.whole and not gap and len(audit.findings) == findings_before
    if not record.length:
        audit.find(PART, f"ledger/{source.agreement.name}/", Missing("No run has begun, or this is the wrong store."))
    return record


def _check_header(header: Header, source: AuditSource, index: int, previous: str) -> None:
    """``previous`` is empty if the segment before could not be verified; that is a separate finding."""
    if (header.party, header.agreement, header.index) != (source.party, source.agreement.name, index):
        raise BadSegment("It belongs to another party, agreement or place.")
    if previous and header.previous != previous:
        raise BadSegment("It does not follow the segment before it.")


class _Signers:
    """A party's keys in their order. After a segment is signed with a new key, no later segment may be signed with an older key."""

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
        raise SignatureRefused("It fits no key that the agreement pins for the party, or only a key that was replaced before.")


def _take(record: RecordSummary, opened: Opened) -> None:
    """Compare the lines of a segment with the signed root, and note their content. Raises BadSegment, BadEntry or Differs."""
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
        # a run of one party alone has no manifest; for a run without this party, the block names the manifest
        record.manifests[run] = body["manifest"]
    elif kind == "settlement":
        record.settlements[int(entry["subject"])] = run, body["block"]
    elif kind == "erasure":
        record.erased.add(run)
    return None


def parsed(lines: bytes) -> Iterator[dict[str, Any]]:
    """The entries in the lines of a segment; raises BadEntry for a line that is not an entry."""
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
