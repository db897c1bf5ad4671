"""Train stage: one leg of rounds of the agreed protocol, starting from the last checkpoint."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import pyarrow as pa

from tombolo.agreements.parameters import TrainingParameters
from tombolo.fl_tasks.incentives.game import trainings
from tombolo.fl_tasks.learning.horizontal.columns import ClientRows
from tombolo.fl_tasks.learning.horizontal.report import write_page
from tombolo.fl_tasks.learning.terms import PrivacyTerms
from tombolo.fl_tasks.models.family import Labels
from tombolo.fl_tasks.models.part import Encodes
from tombolo.fl_tasks.models.state import MODEL
from tombolo.fl_tasks.models.tensors import to_file
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter
from tombolo.fl_tasks.runtime.session import Progress, Session, log_progress
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.workflow.aligned import (
    LEARNT,
    encode_rows,
    encoded_rows,
    encoder_document,
    label,
    load_aligned,
    raw_rows,
    weight,
    with_own,
)
from tombolo.fl_tasks.workflow.latecomers import admit, close_admission
from tombolo.fl_tasks.workflow.numbers import account
from tombolo.fl_tasks.workflow.parts import horizontal_model_of, model_of, programs_of, vertical_model_of
from tombolo.fl_tasks.workflow.people import ids_of, sends_about, trained_item
from tombolo.fl_tasks.workflow.state import PRIVACY, ROUNDS
from tombolo.storage.errors import CodedError
from tombolo.storage.roles import CLIENT, GUEST, HOLDERS


class RoundsSpent(CodedError):
    code = "TMB-TRAIN-007"
    cause = "With the rounds of this run, all runs together would exceed the agreement's limit of rounds."
    remedy = "Start a run with fewer rounds, or agree on new terms with a higher limits.maximum_rounds_over_runs."


def train(
    context: PartyContext, run: str, wait: Wait, progress: Progress = log_progress, leg_end: int | None = None
) -> dict[str, Any]:
    """Take part in the rounds up to ``leg_end``, or in all rounds without it. Calling it again goes on where it stopped.

    Returns ``{"round": last finished round, "finished": bool, "loss": [...]}`` (losses only where this party may know them). When
    training is over, the party's model part is kept in the run's private area.
    """
    programs, task = programs_of(context.terms.task), context.terms.task
    admit(context, run)
    account(context, run, wait)
    with context.session(run, programs.messages, "train", wait, progress, leg_end) as session:
        _book_rounds(session)
        if session.role not in HOLDERS:
            state = programs.help(session)
        else:
            encoder, state = (_client if session.role == CLIENT else _data_party)(context, session)
            if session.finished:
                _keep_model(session, encoder, state)
        if task.horizontal_terms is not None and task.optional(PrivacyTerms) is None:
            write_page(context, run)
        finished = session.finished or bool(state.get("stopped"))
        done, losses = int(state["round"]), [float(loss) for loss in state.get("loss", [])]
        if finished:
            close_admission(context, run)
        cost = task.descriptor.load(task.descriptor.cost)(session.terms, session.params, done) if task.descriptor.cost else {}
        enter(context, run, "rounds", f"to {done}", round=done, finished=finished, loss=losses[-1] if losses else None, **cost)
        if finished and cost:
            session.state.keep(PRIVACY, cost)
        return {"round": done, "finished": finished, "loss": losses}


def _book_rounds(session: Session) -> None:
    """Book all planned rounds before the first round, even if the run ends earlier. Trainings of coalitions count too.

    Raises :class:`RoundsSpent`.
    """
    state = session.state
    planned = session.parameters(TrainingParameters).rounds * trainings(session.terms, session.roles, session.me)
    limit = session.terms.limits.maximum_rounds_over_runs
    spent = sum(state[booked] for booked in state.all(ROUNDS) if booked.key != (session.run,))
    if limit is not None and spent + planned > limit:
        raise RoundsSpent(f"{spent} of {limit} rounds are booked; this run needs {planned}.", party=session.me)
    state.keep(ROUNDS.of(session.run), planned)


def _client(context: PartyContext, session: Session) -> tuple[Encodes, State]:
    """A client's rounds on its own training rows. The sums for the encoder use plain rows; everything after them, encoded rows."""

    def encoded(encoder: Encodes) -> npt.NDArray[Any]:
        encode_rows(context, session.run, encoder)
        return encoded_rows(context, session.run, LEARNT)

    aligned, task = load_aligned(context, session.run), context.terms.task
    table = raw_rows(context, session.run) if encoder_document(context, session.run) is None else None
    rows = ClientRows(table, label(context, aligned)[~aligned.test], encoded)
    state = programs_of(task).data[session.role](session, rows)
    return horizontal_model_of(task).common(session), state


def _data_party(context: PartyContext, session: Session) -> tuple[Encodes, State]:
    """The rounds of the guest or a host, on its own columns, which alignment has encoded."""
    model, shared = vertical_model_of(context.terms.task), load_aligned(context, session.run)
    learnt = ids_of(context, shared.table.filter(pa.array(~shared.test)))
    sends_about(context, session, learnt, f"train/{trained_item(context, session.run)}")
    encoder, target = model.encoder(encoder_document(context, session.run) or {}), None
    if session.role == GUEST:
        aligned = with_own(context, session.run, shared)
        target = Labels(label(context, aligned)[~aligned.test], weight(context, aligned)[~aligned.test])
    rows = model.rows(encoder, encoded_rows(context, session.run, LEARNT), target, int((~shared.test).sum()))
    return encoder, programs_of(context.terms.task).data[session.role](session, rows)


def _keep_model(session: Session, encoder: Encodes, state: State) -> None:
    document = {
        "names": list(encoder.names),
        "encoder": encoder.to_document(),
        "loss": [float(loss) for loss in state.get("loss", [])],
        "rounds": int(state["round"]),
        "protocol": session.terms.task.protocol,
        **model_of(session.terms.task).document(session, encoder, state),
    }
    session.state.keep(MODEL, to_file(document))
