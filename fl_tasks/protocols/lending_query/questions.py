"""The questions and answers of the asker. Ids of people never leave the private area of the asker.

A file of questions is sealed under a handle. Only the handle appears in the parameters of a run, a form or a log. Every lender gets
a commitment to each consent receipt. The receipts, and the random numbers that open the commitments, stay here for an auditor.
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
    """Ids as written in the source, their canonical forms, consent receipts, and the random numbers that open the commitments."""

    shown: Sequence[str]
    ids: Sequence[str]
    receipts: Sequence[str]
    openings: Sequence[str]

    @classmethod
    def of(cls, table: pa.Table, terms: AlignmentTerms, columns: Sequence[str], most: int) -> Questions:
        """Read a table with the id columns and ``consent``. Raises :class:`BadQuestions`, and the errors of reading ids."""
        if CONSENT not in table.column_names or not 0 < table.num_rows <= most:
            raise BadQuestions(
                f"The file has {table.num_rows} rows (1 to {most} are allowed); columns: {', '.join(table.column_names)}."
            )
        ids = canonical_ids(table, terms, columns)
        receipts = [receipt or "" for receipt in as_text(table.column(CONSENT), CONSENT).to_pylist()]
        if len(set(ids)) != len(ids) or "" in receipts or len(set(receipts)) != len(receipts):
            raise BadQuestions("Give each person once, with a consent receipt that no other person has.")
        spelled = zip(*(as_text(table.column(name), name).to_pylist() for name in columns), strict=True)
        return cls([",".join(row) for row in spelled], ids, receipts, [secrets.token_hex(32) for _ in ids])

    @property
    def commitments(self) -> bytes:
        """The commitments to the receipts, 32 bytes each."""
        pairs = zip(self.openings, self.receipts, strict=True)
        return b"".join([hashlib.sha256(bytes.fromhex(opening) + receipt.encode()).digest() for opening, receipt in pairs])

    def seal(self, state: RunState) -> str:
        """Keep the questions under a new handle; returns the handle."""
        handle = secrets.token_hex(8)
        state.keep(QUESTIONS.of(handle), {name: list(values) for name, values in vars(self).items()})
        return handle

    @classmethod
    def load(cls, state: RunState, handle: str) -> Questions:
        """The questions of a handle. Raises :class:`BadQuestions`."""
        document = state.get(QUESTIONS.of(handle)) if handle.isalnum() else None
        if document is None:
            raise BadQuestions("This party has no questions with this handle.")
        return cls(**document)


def keep_answers(state: RunState, run: str, questions: Questions, answers: Sequence[Answer], query: QueryTerms, at: str) -> None:
    """Seal the answers of a run together with their questions."""
    rows = [
        {
            "id": shown,
            "loans": answer.count,
            "exposure": answer.exposure * query.unit,
            "band": query.band(answer.count),
            "consent": receipt,
        }
        for shown, answer, receipt in zip(questions.shown, answers, questions.receipts, strict=True)
    ]
    state.keep(ANSWERS.of(run), {"at": at, "answers": rows})


def answers_of(state: RunState, run: str) -> list[dict[str, Any]]:
    """The answers of a run: for each question id, loans, exposure, band and consent. Raises :class:`BadQuestions`."""
    kept = state.get(ANSWERS.of(run))
    if kept is None:
        raise BadQuestions(f"This party has no answers of run {run}.")
    answers: list[dict[str, Any]] = kept["answers"]
    return answers
