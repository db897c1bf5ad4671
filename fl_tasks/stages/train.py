"""Train stage: one leg of rounds of the agreed protocol, from the last checkpoint on."""

from __future__ import annotations

from typing import Any

from fl_tasks import transfer
from fl_tasks.checkpoints import State
from fl_tasks.horizontal import averaging, newton
from fl_tasks.horizontal import trees as common_trees
from fl_tasks.horizontal.columns import Rows
from fl_tasks.horizontal.privacy import spent
from fl_tasks.horizontal.report import write_page
from fl_tasks.incentives.game import trainings
from fl_tasks.ledger import enter
from fl_tasks.models.part import Encodes
from fl_tasks.models.tensors import to_file
from fl_tasks.session import Progress, Session, log_progress
from fl_tasks.stages.aligned import features, label, load_aligned, weight, with_own
from fl_tasks.stages.families import Labels, VerticalFamily, family_of, horizontal_family, vertical_family
from fl_tasks.stages.latecomers import admit, close_admission
from fl_tasks.vertical import arbiter_oracle, dealer, guest_held, linear, neural, secureboost, taylor
from fl_tasks.vertical.neural import dealt, split
from fl_tasks.waiting import Wait
from fl_tasks.workplace import Workplace
from storage.canonical import canonical, parse
from storage.errors import CodedError
from storage.roles import ARBITER, CLIENT, GUEST, HOLDERS

PROTOCOLS = {
    "linear": linear,
    "logistic-taylor": taylor,
    "logistic-guest": guest_held,
    "logistic-arbiter": arbiter_oracle,
    "linear-dealer": dealer.linear,
    "logistic-taylor-dealer": dealer.taylor,
    "logistic-arbiter-dealer": dealer.oracle,
    "secureboost": secureboost,
    "vertical-mlp": neural,
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


def train(place: Workplace, run: str, wait: Wait, progress: Progress = log_progress, leg_end: int | None = None) -> dict[str, Any]:
    """Take part in the rounds up to ``leg_end`` (to the end without one); repeating it goes on where it stopped.

    Returns ``{"round": last finished round, "finished": bool, "loss": [...]}`` (losses only where this party may know them). When
    training is over, the party's model part is kept in the run's private area.
    """
    protocol = PROTOCOLS[place.terms.task.training]
    admit(place, run)
    with place.session(run, protocol.CONTRACT, "train", wait, progress, leg_end) as session:
        _book_rounds(session)
        if session.role not in HOLDERS:
            state = protocol.arbiter(session) if session.role == ARBITER else protocol.aggregator(session)
        else:
            encoder, state = (_client if session.role == CLIENT else _data_party)(place, session)
            if session.finished:
                _keep_model(session, encoder, state)
        if place.terms.task.horizontal is not None and place.terms.task.privacy is None:
            write_page(place, run)
        finished = session.finished or bool(state.get("stopped"))
        done, losses = int(state["round"]), [float(one) for one in state.get("loss", [])]
        if finished:
            close_admission(place, run)
        cost = spent(session.terms, session.params, done)
        enter(place, run, "rounds", f"to {done}", round=done, finished=finished, loss=losses[-1] if losses else None, **cost)
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


def _client(place: Workplace, session: Session) -> tuple[Encodes, State]:
    """A client's rounds, on its own training rows."""
    aligned = load_aligned(place, session.run)
    rows = ~aligned.test
    protocol = place.terms.task.protocol
    state = PROTOCOLS[protocol].client(session, Rows(features(place, aligned).filter(rows), label(place, aligned)[rows]))
    return horizontal_family(protocol).common(session), state


def _data_party(place: Workplace, session: Session) -> tuple[Encodes, State]:
    """The guest's or a host's rounds, on its own columns."""
    protocol = PROTOCOLS[place.terms.task.training]
    encoder, block = _block(place, session, vertical_family(place.terms.task.protocol))
    return encoder, protocol.guest(session, block) if session.role == GUEST else protocol.host(session, block)


def _block(place: Workplace, session: Session, family: VerticalFamily) -> tuple[Encodes, Any]:
    """This party's training rows, encoded; the encoder is fitted once per run on training rows only."""
    shared = load_aligned(place, session.run)
    aligned = with_own(place, session.run, shared)
    table, rows = features(place, aligned), ~aligned.test
    stored = session.area.get("encoder")
    if stored is None:
        stored = session.keep("encoder", canonical(family.fit(place, session.run, table, rows).to_document()))
    encoder = family.encoder(parse(stored, _LARGEST))
    target = Labels(label(place, aligned)[rows], weight(place, aligned)[rows]) if session.role == GUEST else None
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
