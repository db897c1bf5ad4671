"""How ids of people come into a query, and answers out of it, without leaving the asker's private area.

A file of questions is sealed under a handle; only the handle stands in a run's parameters, a form or a log. A commitment to each
consent receipt goes to every lender; the receipt and what opens the commitment stay here, for an auditor.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tombolo.agreements.terms import AlignmentTerms
from tombolo.fl_tasks.protocols.lending_query.errors import BadQuestions
from tombolo.fl_tasks.protocols.lending_query.query import Answer
from tombolo.fl_tasks.protocols.lending_query.state import ANSWERS, QUESTIONS
from tombolo.fl_tasks.protocols.lending_query.terms import QueryTerms
from tombolo.fl_tasks.runtime.state import RunState
from tombolo.fl_tasks.tables.ids import as_text, canonical_ids

CONSENT = "consent"


@dataclass(frozen=True)
class Questions:
    """Ids as the source spells them, their canonical forms, consent receipts, and what opens each commitment."""

    shown: Sequence[str]
    ids: Sequence[str]
    receipts: Sequence[str]
    openings: Sequence[str]

    @classmethod
    def of(cls, table: pa.Table, terms: AlignmentTerms, columns: Sequence[str], most: int) -> Questions:
        """Read a table with the id columns and ``consent``. Raises :class:`BadQuestions`, or what is wrong with an id."""
        if CONSENT not in table.column_names or not 0 < table.num_rows <= most:
            raise BadQuestions(f"{table.num_rows} rows; columns {', '.join(table.column_names)}.")
        ids = canonical_ids(table, terms, columns)
        receipts = [one or "" for one in as_text(table.column(CONSENT), CONSENT).to_pylist()]
        if len(set(ids)) != len(ids) or "" in receipts or len(set(receipts)) != len(receipts):
            raise BadQuestions("Each person once, each with a receipt of its own.")
        spelled = zip(*(as_text(table.column(name), name).to_pylist() for name in columns), strict=True)
        return cls([",".join(row) for row in spelled], ids, receipts, [secrets.token_hex(32) for _ in ids])

    @property
    def commitments(self) -> bytes:
        """32 bytes per receipt."""
        pairs = zip(self.openings, self.receipts, strict=True)
        return b"".join([hashlib.sha256(bytes.fromhex(opening) + receipt.encode()).digest() for opening, receipt in pairs])

    def seal(self, state: RunState) -> str:
        """Keep the questions under a new handle, and return it."""
        handle = secrets.token_hex(8)
        state.keep(QUESTIONS.of(handle), {name: list(one) for name, one in vars(self).items()})
        return handle

    @classmethod
    def load(cls, state: RunState, handle: str) -> Questions:
        """The questions of a handle. Raises :class:`BadQuestions`."""
        found = state.get(QUESTIONS.of(handle)) if handle.isalnum() else None
        if found is None:
            raise BadQuestions("There is no such handle.")
        return cls(**found)


def keep_answers(state: RunState, run: str, questions: Questions, answers: Sequence[Answer], query: QueryTerms, at: str) -> None:
    """Keep the answers of a run with their questions, sealed."""
    rows = [
        {"id": shown, "loans": one.count, "exposure": one.exposure * query.unit, "band": query.band(one.count), "consent": receipt}
        for shown, one, receipt in zip(questions.shown, answers, questions.receipts, strict=True)
    ]
    state.keep(ANSWERS.of(run), {"at": at, "answers": rows})


def answers_of(state: RunState, run: str) -> list[dict[str, Any]]:
    """What came out of a run, for its asker: id, loans, exposure, band and consent of each. Raises :class:`BadQuestions`."""
    kept = state.get(ANSWERS.of(run))
    if kept is None:
        raise BadQuestions(f"Run {run} has no answers here.")
    found: list[dict[str, Any]] = kept["answers"]
    return found
