"""The query stage: the asker sends a batch of questions through all lenders, and keeps the answers in its private area."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from tombolo.agreements.manifest import Invitation
from tombolo.agreements.settings import TableSettings
from tombolo.fl_tasks.protocols.lending_query import guards
from tombolo.fl_tasks.protocols.lending_query import query as protocol
from tombolo.fl_tasks.protocols.lending_query.errors import BadQuestions, NoIndex
from tombolo.fl_tasks.protocols.lending_query.keys import Keeping
from tombolo.fl_tasks.protocols.lending_query.messages import QUERY
from tombolo.fl_tasks.protocols.lending_query.questions import CONSENT, Questions, answers_of, keep_answers
from tombolo.fl_tasks.protocols.lending_query.state import ANSWERS, HANDLE
from tombolo.fl_tasks.protocols.lending_query.terms import QueryTerms
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter
from tombolo.fl_tasks.runtime.session import Progress, Session, log_progress
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.tables.columns import id_columns
from tombolo.fl_tasks.tables.source import read_table
from tombolo.fl_tasks.workflow.join import invite
from tombolo.storage.roles import ARBITER, GUEST


def put_questions(context: PartyContext, path: str) -> str:
    """Seal a file of questions (CSV or Parquet, with the id columns and ``consent``); returns its handle.

    Raises BadQuestions, and the errors of reading a table.
    """
    source = TableSettings(source="parquet" if path.endswith(".parquet") else "csv", path=path)
    return _sealed(context, read_table(source, context.party_settings.folder, {}, [*id_columns(context), CONSENT]))


def seal_questions(context: PartyContext, rows: Sequence[Mapping[str, str]]) -> str:
    """Seal questions that somebody typed in: each has the id columns and ``consent``. Returns the handle. Raises BadQuestions."""
    return _sealed(context, pa.Table.from_pylist([dict(row) for row in rows]))


def _sealed(context: PartyContext, table: pa.Table) -> str:
    query = context.terms.task.optional(QueryTerms)
    if query is None or context.role != GUEST:
        raise BadQuestions("Only the guest of a lending agreement can ask questions.", party=context.me)
    questions = Questions.of(table, context.terms.alignment, id_columns(context), query.batch)
    return questions.seal(context.state())


def propose_query(context: PartyContext, run: str, handle: str, epoch: str | None = None, as_of: str | None = None) -> Invitation:
    """Invite to a run that asks these questions, by default of the latest index. A repeated call does not change the questions.

    Raises BadQuestions or NoIndex.
    """
    Questions.load(context.state(), handle)
    epochs = Keeping(context.state()).epochs()
    if epoch is None and not epochs:
        raise NoIndex(party=context.me)
    context.state(run).keep(HANDLE, handle)
    return invite(context, run, "query", as_of=as_of, model=epoch or epochs[-1].run)


def proposed(context: PartyContext, run: str, form: Mapping[str, Any], as_of: str | None) -> Invitation:
    """Propose a query with the values of a trigger form. Raises what :func:`propose_query` raises."""
    return propose_query(context, run, str(form.get("questions") or ""), as_of=as_of)


def query(context: PartyContext, run: str, wait: Wait, progress: Progress = log_progress) -> dict[str, Any]:
    """Take part in a query of the index that the manifest names. A repeated call changes nothing.

    Returns ``{"epoch", "questions"}``. The asker finds its answers in its private area (:func:`answers`). Raises the errors of
    :mod:`tombolo.fl_tasks.protocols.lending_query.errors`, and the errors of waiting.
    """
    invited = context.manifest(run).invitation
    epoch, terms = invited.model, context.terms.task.optional(QueryTerms)
    assert terms is not None
    if epoch is None:
        raise NoIndex(f"The manifest of run {run} names no index.", party=context.me)
    now = datetime.now(UTC).replace(microsecond=0)
    with context.session(run, QUERY, "query", wait, progress) as session:
        if session.role == ARBITER:
            asked = protocol.arbiter(session, epoch, now)
        elif session.role == GUEST:
            asked = _ask(context, session, epoch, now)
        else:
            asked = protocol.lender(session, epoch, now)
    guards.forget(Keeping(context.state()), terms, now)
    enter(context, run, "query", epoch, questions=asked)
    return {"epoch": epoch, "questions": asked}


def _ask(context: PartyContext, session: Session, epoch: str, now: datetime) -> int:
    terms, state = context.terms.task.optional(QueryTerms), context.state(session.run)
    chosen = state.get(HANDLE)
    if chosen is None or terms is None:
        raise BadQuestions(f"Run {session.run} has no questions.", party=context.me)
    questions = Questions.load(state, chosen)
    if ANSWERS.of(session.run) not in state:
        replies = protocol.asker(session, epoch, questions.ids, questions.commitments)
        keep_answers(state, session.run, questions, replies, terms, now.isoformat())
    return len(questions.ids)


def answers(context: PartyContext, run: str) -> list[dict[str, Any]]:
    """The answers that the asker got in a run. Raises BadQuestions."""
    return answers_of(context.state(), run)
