"""Before the first round: how many numbers a training gives about whose secrets, paid ahead (rule 2 of docs/what-adds-up.md).

Every data party tells how many encoded columns it has, and the guest how many numbers about its labels it allows. Each party counts
what the protocol declares: the owner of the secrets pays, and the arbiter checks the same count, since it decrypts.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tombolo.agreements.parameters import TrainingParameters
from tombolo.fl_tasks.learning.parameters import Regression
from tombolo.fl_tasks.privacy.numbers import Numbers, Shape, most_column_numbers, most_label_numbers
from tombolo.fl_tasks.privacy.odometer import Release, Spent
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.runtime.state import COLUMNS
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.workflow.aligned import encoder_document, label, load_aligned
from tombolo.fl_tasks.workflow.parts import vertical_model_of
from tombolo.fl_tasks.workflow.state import ROSTER
from tombolo.storage.canonical import digest
from tombolo.storage.meters import NUMBERS, SIZE
from tombolo.storage.roles import DATA, EVERYONE, GUEST, HOLDERS
from tombolo.storage.schema import Disclosed, Message, MessageSet

_MOST = 1 << 31
MESSAGES = MessageSet(
    "numbers",
    Message(
        "shape",
        DATA,
        EVERYONE,
        {
            "columns": Disclosed("int64", "numbers about secrets are counted from it", "one count per run", SIZE, most=1 << 20),
            "rows": Disclosed("int64", "the same", "one count per run", SIZE, most=_MOST),
            "labels": Disclosed("int64", "the arbiter decrypts no more than that", "one count per run", SIZE, most=_MOST),
        },
        learns="how many encoded columns and training rows the sender has; from the guest, how many numbers about labels it allows",
        step="1",
        limit="the guest's number follows from the share of the rarer class; it is 0 at the hosts",
    ),
)


def account(context: PartyContext, run: str, wait: Wait) -> None:
    """Pay for all numbers of the training before its first round. Repeating it costs nothing.

    Raises Spent at a party whose secrets would be told in too many numbers, and at the arbiter if it would decrypt too many.
    """
    task = context.terms.task
    declare = task.descriptor.engine(task.engine).numbers
    if declare is None or task.horizontal_terms is not None or COLUMNS in context.state(run):
        return
    with context.session(run, MESSAGES, "numbers", wait) as session:
        own = _own(context, session)
        if own is not None:
            session.send("shape", **own)
        told = {} if own is None else {session.me: own}
        for party, table in session.receive_all("shape").items():
            told[party] = {name: int(session.scalar(table, name)) for name in ("columns", "rows", "labels")}
        rows = min(facts["rows"] for facts in told.values())
        columns = {party: facts["columns"] for party, facts in told.items()}
        rounds = session.parameters(TrainingParameters).rounds
        shape = Shape(session.roles, columns, rows, rounds, session.params, tuple(task.sections))
        declared: list[Numbers] = task.descriptor.load(declare)(shape)
        if own is None:
            _check(context, declared, told[session.guest]["labels"])
        else:
            session.odometer.pay(_releases(context, session, shape, declared))
        context.state(run).keep(COLUMNS, columns)


def rarer(outcome: str, labels: npt.NDArray[np.float64]) -> float:
    """The share of the rarest class; 1/2 for labels that are numbers."""
    if outcome == "number":
        return 0.5
    counts = np.unique(labels, return_counts=True)[1]
    return min(0.5, float(counts.min()) / len(labels))


def _own(context: PartyContext, session: Session) -> dict[str, int] | None:
    """What this party tells of its training rows; None without a table."""
    if session.role not in HOLDERS:
        return None
    encoder = vertical_model_of(context.terms.task).encoder(encoder_document(context, session.run) or {})
    aligned = load_aligned(context, session.run)
    rows = int((~aligned.test).sum())
    intercept = session.role == GUEST and isinstance(session.params, Regression)
    allowed = 0
    if session.role == GUEST:
        share = rarer(context.terms.task.outcome, label(context, aligned)[~aligned.test])
        allowed = most_label_numbers(rows, share, context.terms.limits.exposure)
    return {"columns": len(encoder.names) + intercept, "rows": rows, "labels": allowed}


def _check(context: PartyContext, declared: Iterable[Numbers], allowed: int) -> None:
    for numbers in declared:
        if numbers.about == "labels" and numbers.limited and numbers.numbers > allowed:
            raise Spent(f"{numbers.numbers} numbers about labels, where the guest allows {allowed}.", party=context.me)


def _releases(context: PartyContext, session: Session, shape: Shape, declared: list[Numbers]) -> list[Release]:
    """What this party pays: for its labels and for its columns, what lasts over runs and what is new in each run.

    All recipients of one kind are one coalition. Numbers about a column that change with the model are counted for all columns of
    the party together: they are equations about all of them, since nobody knows the others.
    """
    exposure, state = context.terms.limits.exposure, context.state()
    events = [item.key[0] for item in state.all(ROSTER)]
    found = []
    for about in ("labels", "columns"):
        own = [numbers for numbers in declared if numbers.about == about and numbers.owner == session.me]
        if not own:
            continue
        to = sorted({party for numbers in own for party in numbers.to})
        group = min(numbers.rows for numbers in own)
        limit = None
        if all(numbers.limited for numbers in own):
            share = 0.5
            if about == "labels":
                aligned = load_aligned(context, session.run)
                share = rarer(context.terms.task.outcome, label(context, aligned)[~aligned.test])
            limit = float(most_label_numbers(group, share, exposure) if about == "labels" else most_column_numbers(group, exposure))
        lasting = max((numbers.numbers for numbers in own if numbers.lasting), default=0)
        passing = max((numbers.numbers for numbers in own if not numbers.lasting), default=0)
        if about == "columns":
            passing = -(-passing // shape.columns[session.me])
        run = session.run if group < shape.rows else ""  # batches are drawn anew in every run
        base = {"agreement": context.agreement.name, "columns": dict(shape.columns), "group": group, "run": run}
        once = {**base, "event": max(events, default=""), "parameters": context.manifest(session.run).invitation.parameters}
        extra = passing - lasting if about == "labels" else passing
        for amount, what in ((lasting, base), (max(0, extra), once)):
            if amount:
                item = f"{about}/{digest(what)}"
                found.append(session.payments.release(NUMBERS, item, to, amount, limit, about))
    return found
