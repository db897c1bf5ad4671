"""Train stage: one leg of rounds of the agreed protocol, from the last checkpoint on."""

from __future__ import annotations

from typing import Any

from tombolo.fl_tasks.incentives.game import trainings
from tombolo.fl_tasks.learning.horizontal import newton
from tombolo.fl_tasks.learning.horizontal.columns import Rows
from tombolo.fl_tasks.learning.horizontal.report import write_page
from tombolo.fl_tasks.models.part import Encodes
from tombolo.fl_tasks.models.tensors import to_file
from tombolo.fl_tasks.protocols.horizontal_mlp import programs as averaging
from tombolo.fl_tasks.protocols.horizontal_mlp.privacy import spent
from tombolo.fl_tasks.protocols.horizontal_trees import programs as common_trees
from tombolo.fl_tasks.protocols.linear import dealer as linear_dealer
from tombolo.fl_tasks.protocols.linear import programs as linear
from tombolo.fl_tasks.protocols.logistic_arbiter import dealer as arbiter_dealer
from tombolo.fl_tasks.protocols.logistic_arbiter import programs as arbiter_oracle
from tombolo.fl_tasks.protocols.logistic_guest import programs as guest_held
from tombolo.fl_tasks.protocols.logistic_taylor import dealer as taylor_dealer
from tombolo.fl_tasks.protocols.logistic_taylor import programs as taylor
from tombolo.fl_tasks.protocols.secureboost import programs as secureboost
from tombolo.fl_tasks.protocols.transfer import programs as transfer
from tombolo.fl_tasks.protocols.vertical_mlp import dealt, encrypted, split
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter
from tombolo.fl_tasks.runtime.session import Progress, Session, log_progress
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned, weight, with_own
from tombolo.fl_tasks.workflow.families import (
    Labels,
    VerticalFamily,
    family_of,
    horizontal_family,
    vertical_family,
)
from tombolo.fl_tasks.workflow.latecomers import admit, close_admission
from tombolo.storage.canonical import canonical, parse
from tombolo.storage.errors import CodedError
from tombolo.storage.roles import ARBITER, CLIENT, GUEST, HOLDERS

PROTOCOLS = {
    "linear": linear,
    "logistic-taylor": taylor,
    "logistic-guest": guest_held,
    "logistic-arbiter": arbiter_oracle,
    "linear-dealer": linear_dealer,
    "logistic-taylor-dealer": taylor_dealer,
    "logistic-arbiter-dealer": arbiter_dealer,
    "secureboost": secureboost,
    "vertical-mlp": encrypted,
    "vertical-mlp-dealer": dealt,
    "vertical-mlp-split": split,
    "horizontal-linear": newton,
    "horizontal-logistic": newton,
    "horizontal-mlp": averaging,
    "horizontal-trees": common_trees,
    "transfer": transfer,
}
_LARGEST = 1 << 26


class RoundsSpent(CodedError):
    code = "TMB-TRAIN-007"
    cause = "With this run's rounds the agreement's limit of rounds over all runs would be passed."
    remedy = "Start a run with fewer rounds, or agree on new terms with a higher limits.maximum_rounds_over_runs."


def train(
    context: PartyContext, run: str, wait: Wait, progress: Progress = log_progress, leg_end: int | None = None
) -> dict[str, Any]:
    """Take part in the rounds up to ``leg_end`` (to the end without one); repeating it goes on where it stopped.

    Returns ``{"round": last finished round, "finished": bool, "loss": [...]}`` (losses only where this party may know them). When
    training is over, the party's model part is kept in the run's private area.
    """
    protocol = PROTOCOLS[context.terms.task.training]
    admit(context, run)
    with context.session(run, protocol.MESSAGES, "train", wait, progress, leg_end) as session:
        _book_rounds(session)
        if session.role not in HOLDERS:
            state = protocol.arbiter(session) if session.role == ARBITER else protocol.aggregator(session)
        else:
            encoder, state = (_client if session.role == CLIENT else _data_party)(context, session)
            if session.finished:
                _keep_model(session, encoder, state)
        if context.terms.task.horizontal is not None and context.terms.task.privacy is None:
            write_page(context, run)
        finished = session.finished or bool(state.get("stopped"))
        done, losses = int(state["round"]), [float(one) for one in state.get("loss", [])]
        if finished:
            close_admission(context, run)
        cost = spent(session.terms, session.params, done)
        enter(context, run, "rounds", f"to {done}", round=done, finished=finished, loss=losses[-1] if losses else None, **cost)
        if finished and cost:
            session.run_area.keep("privacy", canonical(cost))
        return {"round": done, "finished": finished, "loss": losses}


def _book_rounds(session: Session) -> None:
    """Book a run's rounds in full before the first one, whatever it comes to need, those of its coalitions that train anew too.

    Raises :class:`RoundsSpent`.
    """
    mine = f"rounds/{session.run}"
    planned = int(session.params["rounds"]) * trainings(session.terms, session.roles, session.me)
    limit = session.terms.limits.maximum_rounds_over_runs
    spent = sum(int(session.history.get(name) or b"0") for name in session.history.names("rounds/") if name != mine)
    if limit is not None and spent + planned > limit:
        raise RoundsSpent(f"{spent} of {limit} are booked; this run asks for {planned}.", party=session.me)
    session.history.keep(mine, str(planned).encode())


def _client(context: PartyContext, session: Session) -> tuple[Encodes, State]:
    """A client's rounds, on its own training rows."""
    aligned = load_aligned(context, session.run)
    rows = ~aligned.test
    protocol = context.terms.task.protocol
    state = PROTOCOLS[protocol].client(session, Rows(features(context, aligned).filter(rows), label(context, aligned)[rows]))
    return horizontal_family(protocol).common(session), state


def _data_party(context: PartyContext, session: Session) -> tuple[Encodes, State]:
    """The guest's or a host's rounds, on its own columns."""
    protocol = PROTOCOLS[context.terms.task.training]
    encoder, block = _block(context, session, vertical_family(context.terms.task.protocol))
    return encoder, protocol.guest(session, block) if session.role == GUEST else protocol.host(session, block)


def _block(context: PartyContext, session: Session, family: VerticalFamily) -> tuple[Encodes, Any]:
    """This party's training rows, encoded; the encoder is fitted once per run on training rows only."""
    shared = load_aligned(context, session.run)
    aligned = with_own(context, session.run, shared)
    table, rows = features(context, aligned), ~aligned.test
    stored = session.area.get("encoder")
    if stored is None:
        stored = session.keep("encoder", canonical(family.fit(context, session.run, table, rows).to_document()))
    encoder = family.encoder(parse(stored, _LARGEST))
    target = Labels(label(context, aligned)[rows], weight(context, aligned)[rows]) if session.role == GUEST else None
    return encoder, family.block(encoder, table.filter(rows), target, int((~shared.test).sum()))


def _keep_model(session: Session, encoder: Encodes, state: State) -> None:
    document = {
        "names": list(encoder.names),
        "encoder": encoder.to_document(),
        "loss": [float(one) for one in state.get("loss", [])],
        "rounds": int(state["round"]),
        "protocol": session.terms.task.protocol,
        **family_of(session.terms.task.protocol).document(session, encoder, state),
    }
    session.run_area.keep("model", to_file(document))
