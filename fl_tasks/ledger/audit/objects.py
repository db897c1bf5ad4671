"""The checks that need the store itself: the artifacts that are still in it, the bookings, and every private object."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

from tombolo.fl_tasks.ledger.audit.findings import Audit, CutOff, Differs, Missing, NeverBooked
from tombolo.fl_tasks.ledger.audit.record import Booked, RecordSummary
from tombolo.fl_tasks.ledger.audit.source import StoreSource, keys_over_time, objects_of, read_document, run_key, runs_with
from tombolo.fl_tasks.runtime.state import BOOKING, SETTLED
from tombolo.storage.books import booking_name
from tombolo.storage.envelope import AlteredPayload, Header, read_head
from tombolo.storage.identity import SignatureRefused
from tombolo.storage.ledger.chain import segment_key
from tombolo.storage.stores.base import KeyMissing

ARTIFACTS, BOOKINGS, PRIVATE = "artifacts", "bookings", "private objects"
BOOKS = ("sent", "received")


def check_bookings(audit: Audit, source: StoreSource, record: RecordSummary) -> dict[str, dict[str, Booked]]:
    """Compare the books with the record, and the record with the books. Returns, by run, bookings as sent that are not recorded.

    A settlement records every booking. So in a settled run, a booking without an entry shows that the end of the record is missing.
    """
    recorded = {book: _by_key(source, record, book) for book in BOOKS}
    settled, seen = set(runs_with(source, SETTLED)), set()
    unrecorded: dict[str, dict[str, Booked]] = {}
    lacking: Counter[str] = Counter()
    for key, run, (book, name) in objects_of(source, BOOKING):
        if book not in BOOKS:
            continue
        seen.add(key)
        with audit.at(BOOKINGS, key):
            kept = read_document(source, key)
            subject = f"{kept['peer']}/{kept['address']}"
            entry = recorded[book].get(key)
            if booking_name(subject) != name:
                raise Differs("Its name does not fit its content.")
            booked = Booked(kept["sha256"], kept["size"], kept["rows"], ",".join(kept["kinds"]))
            if entry is not None and entry != booked:
                raise Differs(f"The record has other facts about {subject}.")
            if entry is None:
                lacking[run] += 1
            if entry is None and book == "sent":
                unrecorded.setdefault(run, {})[kept["address"]] = booked
            audit.count(BOOKINGS, "bookings")
    for keys in recorded.values():
        for key in keys.keys() - seen:
            audit.find(BOOKINGS, key, Missing("The record names it."))
    for run in sorted(settled & lacking.keys()) if record.whole else ():
        lost = CutOff(f"{lacking[run]} artifacts of the settled run {run} are booked but not in the record.")
        audit.find(BOOKINGS, segment_key(source.agreement.name, record.length + 1), lost)
    return unrecorded


def _by_key(source: StoreSource, record: RecordSummary, book: str) -> dict[str, Booked]:
    return {run_key(source, run, BOOKING.of(book, booking_name(name))): booked for run, name, booked in record.booked(book)}


def check_artifacts(audit: Audit, source: StoreSource, record: RecordSummary, unrecorded: dict[str, dict[str, Booked]]) -> None:
    """Check every artifact that was booked as sent, and find artifacts that were not booked.

    A missing artifact is correct if the record says that retention erased its run.
    """
    stored = _Stored(source)
    expected = {name.split("/", 1)[1]: (run, booked) for run, name, booked in record.booked("sent")}
    expected |= {address: (run, booked) for run, sent in unrecorded.items() for address, booked in sent.items()}
    for address, (run, booked) in sorted(expected.items()):
        present = stored.take(address)
        if not present and run in record.erased:
            audit.count(ARTIFACTS, "erased by retention")
            continue
        with audit.at(ARTIFACTS, f"{address}/head"):
            audit.count(ARTIFACTS, "artifacts")
            _check_artifact(audit, source, address, booked)
    settled = set(runs_with(source, SETTLED))
    for run, key in stored.rest():
        if run in settled or run not in record.names:  # in other runs, an artifact may just be in the middle of being sent
            audit.find(ARTIFACTS, key, NeverBooked())


class _Stored:
    """Objects under ``to-<peer>/<agreement>/`` by the address of their artifact."""

    def __init__(self, source: StoreSource) -> None:
        self._objects: dict[str, list[str]] = {}
        for key in source.names("to-"):
            if key.split("/", 2)[1:2] == [source.agreement.name]:
                self._objects.setdefault(key.rpartition("/")[0], []).append(key)

    def take(self, address: str) -> bool:
        """Remove the objects of an artifact; returns whether there were any."""
        return self._objects.pop(address, None) is not None

    def rest(self) -> Iterator[tuple[str, str]]:
        """The keys that were not taken, each with its run."""
        for keys in self._objects.values():
            for key in keys:
                run, *below = key.split("/")[2:] or [""]
                yield ("".join(below[1:2]).removeprefix("invite.") if run == "invitations" else run), key


def _check_artifact(audit: Audit, source: StoreSource, address: str, booked: Booked) -> None:
    """The head must have the booked hash. Each chunk that is a separate object must have the hash in the header."""
    data = _get(source, f"{address}/head")
    if hashlib.sha256(data).hexdigest() != booked.sha256:
        raise Differs("It differs from the artifact that was booked as sent.")
    audit.count(ARTIFACTS, "bytes", len(data))
    if len(data) == booked.size:
        return
    header = _header(source, data)
    for index, (expected, _) in enumerate(header.chunks, start=1):
        key = header.address.chunk(index)
        with audit.at(ARTIFACTS, key):
            chunk = _get(source, key)
            if hashlib.sha256(chunk).hexdigest() != expected:
                raise AlteredPayload()
            audit.count(ARTIFACTS, "bytes", len(chunk))


def _header(source: StoreSource, data: bytes) -> Header:
    for key in reversed(keys_over_time(source.agreement, source.party)):
        try:
            return read_head(data, key)[0]
        except SignatureRefused:
            continue
    raise SignatureRefused()


def _get(source: StoreSource, key: str) -> bytes:
    try:
        return source.store.get(key)
    except KeyMissing:
        raise Missing("It is booked as sent, and the record has no erasure of its run.") from None


def check_private(audit: Audit, source: StoreSource) -> None:
    """Open every object of the private area that has no finding yet. Find objects of the ledger that do not belong there."""
    name, faulty = source.agreement.name, audit.faulty()
    for key in source.names(f"private/{name}/"):
        if key not in faulty:
            with audit.at(PRIVATE, key):
                source.read(key)
                audit.count(PRIVATE, "objects")
    for key in source.names(f"ledger/{name}/"):
        if not key.startswith((f"ledger/{name}/segments/", f"ledger/{name}/blocks/")):
            audit.find(PRIVATE, key, NeverBooked())
