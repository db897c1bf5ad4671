"""The checks of one case, over an undisturbed run of it that they share."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.conformance.cases import Case, Hint, Step, case_of
from tests.conformance.exceptions import ACCEPTED, OWN_OPTIMUM, REDRAWN, TOLERANCES, UNSENT
from tests.conformance.hostile import Forger
from tests.conformance.trial import Killer, Objects, Recorder, Sent, Trial
from tombolo.agreements.protocol import Protocol
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.models.reference import LabelledRows, Pooled
from tombolo.fl_tasks.runtime.checkpoints import unpack
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.session import Progress
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned, weight
from tombolo.fl_tasks.workflow.evaluate import METRICS
from tombolo.fl_tasks.workflow.numbers import MESSAGES as NUMBERS
from tombolo.fl_tasks.workflow.parts import horizontal_model_of, model_of, reference_of
from tombolo.storage.roles import CLIENT, GUEST, HOLDERS

EXACT = 1e-6
KILLS = 2
"""Moments, besides the first and the last, at which each party is killed."""
Outcomes = dict[str, Any]
EMPTY = {"asked_before"}
"""Messages without a row in these cases, in which nothing can be forged."""


@dataclass
class Played:
    """An undisturbed run of a case: what lay in the stores before each step, what was sent in it, what each party was left with."""

    case: Case
    trial: Trial
    before: list[Objects] = field(default_factory=list)
    after: Objects = field(default_factory=dict)
    sent: list[list[Sent]] = field(default_factory=list)
    outcomes: list[Outcomes] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.case.protocol.name}-{self.case.engine}"

    def outcome(self, step: Step) -> Outcomes:
        return {party: step.outcome(self.trial, party) for party in self.trial.parties}


def play(case: Case, root: Path) -> Played:
    """Every step of a case, undisturbed."""
    played = Played(case, case.lay_out(root))
    for step in case.steps:
        step.before(played.trial)
        played.before.append(played.trial.objects())
        recorder = Recorder()
        played.trial.watched(recorder, lambda step=step: played.trial.through(case.stage(played.trial, step), step.run))
        played.sent.append(list(dict.fromkeys(recorder.sent)))
        played.outcomes.append(played.outcome(step))
    played.after = played.trial.objects()
    return played


def conform(protocol: Protocol, root: Path, hint: Hint | None = None, plugins: tuple[str, ...] = ()) -> None:
    """All checks of a protocol on all its engines; ``plugins`` are the distributions that the parties must allow for it."""
    for number, engine in enumerate(protocol.engines):
        folder = root / str(number)
        folder.mkdir()
        played = play(case_of(protocol, engine, hint, plugins), folder)
        for check in CHECKS:
            check(played)


# -- 1 ----------------------------------------------------------------------------------------------------------------------


def sends_what_it_declares(played: Played) -> None:
    roles = played.trial.parties
    sent = {(name, roles[frm], roles[to]) for step in played.sent for name, frm, to, *_ in step}
    declared = {
        (message.name, roles[frm], roles[to])
        for messages in played.case.declared(played.trial)
        for message in messages.values()
        for frm in roles
        for to in roles
        if frm != to and message.sent_by(roles[frm]) and message.heard_by(roles[to])
    }
    allowed = {name for case, name in UNSENT if fnmatchcase(played.name, case)}
    measured = {one for one in sent if one[0] in METRICS or one[0] in NUMBERS}
    assert sent - measured <= declared, "sent and not declared"
    unsent = {one for one in declared - sent if one[0] not in allowed}
    assert not unsent, f"declared and not sent: {sorted(unsent)}"
    idle = allowed - {name for name, *_ in declared - sent}
    assert not idle, f"entries of UNSENT that are of no use: {sorted(idle)}"


# -- 2 ----------------------------------------------------------------------------------------------------------------------


def replays_from_every_checkpoint(played: Played) -> None:
    for number, step in enumerate(played.case.steps):
        if step.stage != "train":
            continue
        played.trial.restore(played.before[number])
        stage, leg, finished = played.case.stage(played.trial, step), 0, False
        while not finished:
            leg += 1
            found = played.trial.through(stage, step.run, leg_end=leg)
            finished = all(one["finished"] for one in found.values())
        assert leg > 1, "a case must have more than one round"
        _same(played, number)


# -- 3 ----------------------------------------------------------------------------------------------------------------------


def survives_kills(played: Played) -> None:
    chosen = random.Random(played.name)
    for number, step in enumerate(played.case.steps):
        moments = set()
        for party in played.trial.parties:
            sent = [one for one in played.sent[number] if one[1] == party]
            picked = {*sent[:1], *sent[-1:], *chosen.sample(sent, min(KILLS, len(sent)))}
            moments |= {
                (one, moment) for one in sorted(picked) for moment in chosen.choice([("before",), ("after",), ("before", "after")])
            }
        if not moments:
            continue
        played.trial.restore(played.before[number])
        killer = Killer(set(moments))
        played.trial.watched(killer, lambda step=step: played.trial.through(played.case.stage(played.trial, step), step.run))
        assert not killer.moments, "some of the messages were not sent again"
        _same(played, number)


def _same(played: Played, number: int) -> None:
    """The parties are left with what they have after the undisturbed run."""
    found, expected = played.outcome(played.case.steps[number]), played.outcomes[number]
    if number == 0 and any(fnmatchcase(played.name, case) for case in REDRAWN):
        totals = _held_out(played)
        played.trial.restore(played.after)
        for party, own in _held_out(played).items():
            np.testing.assert_allclose(totals[party], own, rtol=0, atol=1e-8)
        return
    assert found == expected


# -- 4 ----------------------------------------------------------------------------------------------------------------------


def equals_its_reference(played: Played) -> None:
    task = played.trial.context(next(iter(played.trial.parties))).terms.task
    tolerance = next((bound for case, (bound, _) in TOLERANCES.items() if fnmatchcase(played.name, case)), EXACT)
    played.trial.restore(played.after)
    if "train" not in task.descriptor.kinds:
        return
    if task.descriptor.compare is not None:
        contexts = {party: played.trial.context(party) for party in played.trial.parties}
        assert task.descriptor.load(task.descriptor.compare)(contexts, "run-1").margins <= tolerance
        return
    totals = _held_out(played)
    pooled, reference = _pooled(played), reference_of(task)
    expected = reference.totals(pooled)
    if any(fnmatchcase(played.name, case) for case in OWN_OPTIMUM):
        x, rows = np.asarray(pooled.whole, dtype=np.float64), pooled.rows
        weights, intercept = reference.alone(x[~rows.test], rows.labels[~rows.test], pooled.params.l2)
        expected = x[rows.test] @ weights + intercept
    found = np.concatenate([totals[party] for party in totals])
    worst = np.abs(found.reshape(expected.shape) - expected).max()
    assert worst <= tolerance, f"a held-out score is {worst:.2g} off, with {tolerance:.2g} allowed"


def _held_out(played: Played) -> dict[str, Any]:
    """Total scores of the held-out rows: at the guest, or at every client of its own."""
    trial = played.trial

    def clients(context: PartyContext) -> Any:
        aligned = load_aligned(context, "run-1")
        part, table = part_of_run(context, "run-1"), features(context, aligned).filter(aligned.test)
        return horizontal_model_of(context.terms.task).score(part, part.encoder.transform(table))

    first = trial.context(next(iter(trial.parties)))
    if first.terms.task.horizontal_terms is not None:
        return {party: clients(trial.context(party)) for party, role in trial.parties.items() if role == CLIENT}
    model = model_of(first.terms.task)

    def score(context: PartyContext, run: str, wait: Wait, progress: Progress) -> Any:
        with context.session(run, model.messages, "held-out", wait, progress) as session:
            if session.role not in HOLDERS:
                return model.assist(session) if model.assist else None
            aligned = load_aligned(context, run)
            part, table = part_of_run(context, run), features(context, aligned).filter(aligned.test)
            return model.totals(session, part, part.encoder.transform(table), [session.guest])

    return {trial.guest: trial.through(score, "run-1")[trial.guest]}


def _pooled(played: Played) -> Pooled:
    """All rows or columns in one place, as the run encoded them."""
    contexts = {party: played.trial.context(party) for party, role in played.trial.parties.items() if role in HOLDERS}
    ordered = sorted(contexts, key=lambda party: contexts[party].role != GUEST)
    aligned = {party: load_aligned(contexts[party], "run-1") for party in ordered}
    parts = {party: part_of_run(contexts[party], "run-1") for party in ordered}
    columns = {party: parts[party].encoder.transform(features(contexts[party], aligned[party])) for party in ordered}
    stored = {party: contexts[party].run_area("run-1").area("train").get("beginning") for party in ordered}
    first = contexts[ordered[0]]
    if first.terms.task.horizontal_terms is not None:
        labels = np.concatenate([label(contexts[party], aligned[party]) for party in ordered])
        rows = LabelledRows(labels, np.ones(len(labels)), np.concatenate([aligned[party].test for party in ordered]))
        columns = {"": np.concatenate([columns[party] for party in ordered])}
    else:
        own = aligned[first.me]
        rows = LabelledRows(label(first, own), weight(first, own), own.test)
    begun = {party: unpack(data) for party, data in stored.items() if data is not None}
    return Pooled(first.terms.task, first.terms.limits, first.params("run-1"), parts[first.me].rounds, columns, rows, begun)


# -- 5 ----------------------------------------------------------------------------------------------------------------------


def refuses_hostile_values(played: Played) -> None:
    """The parties take turns in one thread; every message is forged where it arrives first. The run itself goes on undisturbed,
    from wait to wait with nothing in memory, and ends as it should."""
    forger = Forger(played.trial.parties)
    for number, step in enumerate(played.case.steps):
        played.trial.restore(played.before[number])
        forger.unsound = lambda party, step=step: _unsound(played.trial.context(party), step)
        stage, options = played.case.stage(played.trial, step), {"leg_end": played.case.hint.turns} if step.stage == "train" else {}
        by_turns = partial(played.trial.by_turns, stage, step.run, forger.ended, **options)
        try:
            played.trial.watched(forger, by_turns)
        finally:
            forger.leave()
        if any(left is not None for left in played.outcome(step).values()):  # training went to its end
            _same(played, number)
    untried = {name for step in played.sent for name, *_ in step} - {name.partition(".")[0] for name in forger.tried}
    assert not untried - EMPTY, f"no forgery was tried of {sorted(untried)}"
    patterns = [pattern for case, pattern in ACCEPTED if fnmatchcase(played.name, case)]
    wrong = {
        name: ended
        for name, ended in forger.found.items()
        if not (": accepted" in ended or " blames " in ended) or not any(fnmatchcase(name, pattern) for pattern in patterns)
    }
    assert not wrong, "\n".join(
        [f"{len(wrong)} of {len(forger.tried)} forgeries:", *(f"{name}: {how}" for name, how in wrong.items())]
    )


def _unsound(context: PartyContext, step: Step) -> bool:
    """Whether a party is left with a checkpoint or a model that is not finite."""
    area = context.run_area(step.run).area(step.stage)
    states = [unpack(area.get(name) or b"") for name in area.names("checkpoints/")]
    return any(array.dtype.kind == "f" and not np.isfinite(array).all() for state in states for array in _arrays(state))


def _arrays(state: dict[str, Any]) -> list[Any]:
    return [one for one in state.values() if isinstance(one, np.ndarray)]


CHECKS: tuple[Callable[[Played], None], ...] = (
    sends_what_it_declares,
    replays_from_every_checkpoint,
    survives_kills,
    equals_its_reference,
    refuses_hostile_values,
)
