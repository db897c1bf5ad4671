"""Whose values a stage sends row by row: counted for each person, over runs and agreements (rule 3, docs/what-adds-up.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tombolo.fl_tasks.privacy.roster import Persons
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.tables.columns import id_columns
from tombolo.fl_tasks.tables.ids import canonical_ids
from tombolo.fl_tasks.workflow.state import ROSTER
from tombolo.storage.canonical import digest


def hashes(context: PartyContext, ids: Sequence[str], purpose: str = "roster") -> Persons:
    """A 64-bit hash of each canonical id, by a key that never changes and that only this party has."""
    key = context.keys.vault.derive(purpose)
    digests = (hashlib.blake2b(row_id.encode(), key=key, digest_size=8).digest() for row_id in ids)
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def sends_about(context: PartyContext, session: Session, ids: Sequence[str], item: str) -> None:
    """Say that ``session`` sends values of the people with these canonical ids. Equal ``item`` and people: told before, and free.

    Nobody may be told more than the terms' limits.row_bits about one of them, over all runs.
    """
    session.payments.about(hashes(context, ids), item, context.terms.limits.row_bits)


def ids_of(context: PartyContext, rows: pa.Table) -> list[str]:
    """The canonical ids of aligned rows."""
    return canonical_ids(rows, context.terms.alignment, id_columns(context))


def trained_item(context: PartyContext, run: str) -> str:
    """What names a training: the same rows with the same values and parameters give the same model, which tells nothing new."""
    events = [item.key[0] for item in context.state().all(ROSTER)]
    parameters = context.manifest(run).invitation.parameters
    return f"{context.agreement.name}/{max(events, default='')}/{digest(parameters)[:16]}"
