"""The audit as a whole, over a party's own store or over a bundle."""

from __future__ import annotations

from dataclasses import dataclass

from tombolo.fl_tasks.ledger.audit.agreement import check_agreement
from tombolo.fl_tasks.ledger.audit.blocks import Kept, check_blocks, check_evidence, check_pairs
from tombolo.fl_tasks.ledger.audit.findings import Audit
from tombolo.fl_tasks.ledger.audit.manifests import check_manifests
from tombolo.fl_tasks.ledger.audit.objects import check_artifacts, check_bookings, check_private
from tombolo.fl_tasks.ledger.audit.odometer import check_odometer
from tombolo.fl_tasks.ledger.audit.record import RecordSummary, check_record
from tombolo.fl_tasks.ledger.audit.source import AuditSource, StoreSource
from tombolo.storage.canonical import digest


@dataclass(frozen=True)
class Ends:
    """Where the record and the ledger end. People compare this with other parties and with earlier notes."""

    segment: int
    segment_digest: str
    height: int
    block: str


def verify_store(source: StoreSource) -> tuple[Audit, Ends]:
    """Check everything that one party's store can prove about one agreement, without any other party."""
    audit = Audit()
    record, ends, blocks = _documents(audit, source)
    check_odometer(audit, source, blocks)
    check_artifacts(audit, source, record, check_bookings(audit, source, record))
    check_private(audit, source)
    return audit, ends


def verify_documents(audit: Audit, source: AuditSource) -> tuple[RecordSummary, Ends]:
    """The checks that are also possible on a bundle: agreement, record, blocks, reconciliation, manifests, evidence."""
    record, ends, _ = _documents(audit, source)
    return record, ends


def _documents(audit: Audit, source: AuditSource) -> tuple[RecordSummary, Ends, dict[int, Kept]]:
    check_agreement(audit, source.agreement)
    record = check_record(audit, source)
    blocks = check_blocks(audit, source, record)
    check_pairs(audit, source, record, blocks)
    check_manifests(audit, source, record, blocks)
    check_evidence(audit, source)
    height = max(blocks, default=0)
    block = digest(blocks[height]["block"]) if height else ""
    return record, Ends(record.length, record.heads.get(record.length, ""), height, block), blocks
