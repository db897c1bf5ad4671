"""Query stage: the asker's batch of questions goes through all lenders; the answers stay in the asker's private area."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from contracts.manifest import Invitation
from contracts.settings import TableSettings
from fl_tasks.ledger import enter
from fl_tasks.lending import guards
from fl_tasks.lending import query as protocol
from fl_tasks.lending.contract import QUERY
from fl_tasks.lending.errors import BadQuestions, NoIndex
from fl_tasks.lending.keys import Keeping
from fl_tasks.lending.questions import CONSENT, Questions, answers_of, keep_answers
from fl_tasks.session import Progress, Session, log_progress
from fl_tasks.stages.aligned import id_columns
from fl_tasks.stages.join import invite
from fl_tasks.tables.source import read_table
from fl_tasks.waiting import Wait
from fl_tasks.workplace import Workplace
from storage.roles import ARBITER, GUEST


def put_questions(place: Workplace, path: str) -> str:
    """Seal a file of questions (CSV or Parquet: the id columns and ``consent``); returns the handle that stands for it.

    Raises BadQuestions, and what reading a table raises.
    """
    source = TableSettings(source="parquet" if path.endswith(".parquet") else "csv", path=path)
    return _sealed(place, read_table(source, place.party.folder, {}, [*id_columns(place), CONSENT]))


def seal_questions(place: Workplace, rows: Sequence[Mapping[str, str]]) -> str:
    """Seal questions that somebody has typed: the id columns and ``consent`` of each. Raises BadQuestions."""
    return _sealed(place, pa.Table.from_pylist([dict(one) for one in rows]))


def _sealed(place: Workplace, table: pa.Table) -> str:
    query = place.terms.task.query
    if query is None or place.role != GUEST:
        raise BadQuestions("Only the guest of a lending agreement asks.", party=place.me)
    questions = Questions.of(table, place.terms.alignment, id_columns(place), query.batch)
    return questions.seal(place.private.area("questions"))


def propose_query(place: Workplace, run: str, handle: str, epoch: str | None = None, as_of: str | None = None) -> Invitation:
    """Invite to a run that asks these questions of an index, by default the latest; the first word stands.

    Raises BadQuestions or NoIndex.
    """
    Questions.load(place.private.area("questions"), handle)
    epochs = Keeping(place.private.area("history")).epochs()
    if epoch is None and not epochs:
        raise NoIndex(party=place.me)
    place.run_area(run).keep("questions", handle.encode())
    return invite(place, run, "query", as_of=as_of, model=epoch or epochs[-1].run)


def query(place: Workplace, run: str, wait: Wait, progress: Progress = log_progress) -> dict[str, Any]:
    """Take part in a query of the index that the manifest names; repeating it changes nothing.

    Returns ``{"epoch", "questions"}``; the asker's answers are in its private area (:func:`answers`). Raises the refusals of
    :mod:`fl_tasks.lending.errors` and what waiting raises.
    """
    invited = place.manifest(run).invitation
    epoch, terms = invited.model, place.terms.task.query
    assert terms is not None
    if epoch is None:
        raise NoIndex(f"Run {run} names none.", party=place.me)
    now = datetime.now(UTC).replace(microsecond=0)
    with place.session(run, QUERY, "query", wait, progress) as session:
        if session.role == ARBITER:
            asked = protocol.arbiter(session, epoch, now)
        elif session.role == GUEST:
            asked = _ask(place, session, epoch, now)
        else:
            asked = protocol.lender(session, epoch, now)
    guards.forget(Keeping(place.private.area("history")), terms, now)
    enter(place, run, "query", epoch, questions=asked)
    return {"epoch": epoch, "questions": asked}


def _ask(place: Workplace, session: Session, epoch: str, now: datetime) -> int:
    terms, area = place.terms.task.query, place.private.area("answers")
    chosen = place.run_area(session.run).get("questions")
    if chosen is None or terms is None:
        raise BadQuestions(f"Run {session.run} has none.", party=place.me)
    questions = Questions.load(place.private.area("questions"), chosen.decode())
    if area.get(session.run) is None:
        found = protocol.asker(session, epoch, questions.ids, questions.commitments)
        keep_answers(area, session.run, questions, found, terms, now.isoformat())
    return len(questions.ids)


def answers(place: Workplace, run: str) -> list[dict[str, Any]]:
    """The asker's answers of a run. Raises BadQuestions."""
    return answers_of(place.private.area("answers"), run)
