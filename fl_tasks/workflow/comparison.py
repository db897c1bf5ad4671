"""The models that the federated model is compared with: the pooled model, and the model of one party alone, on the same rows.

It opens the private area of every party, so it works only on a machine that runs all parties.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tombolo.fl_tasks.learning.gains import gains
from tombolo.fl_tasks.learning.metrics import HIGHER_IS_BETTER, measure, metric_names
from tombolo.fl_tasks.learning.vertical.state import BEGINNING
from tombolo.fl_tasks.models.part import ModelPart
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.models.reference import LabelledRows, Pooled
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned, weight
from tombolo.fl_tasks.workflow.parts import reference_of
from tombolo.fl_tasks.workflow.state import EVALUATION, MEASURED
from tombolo.storage.roles import CLIENT, GUEST, HOLDERS, INITIATORS


@dataclass(frozen=True)
class Comparison:
    """What a comparison gives.

    ``models``: metrics by model, with all digits, while the parties have rounded ones of the federated model. They are
    ``federated`` (if the run was evaluated), ``pooled``, ``pooled_survivors`` if clients have vanished, and the model of one party:
    ``guest_only``, ``best_client``, or ``self_learning`` (the target of a transfer, given the labels of its common training rows).
    ``rows``: counts of rows. ``gains``: of a binary label that only the guest holds, the gains of these models and of the federated
    model. ``margins``: of boosted trees and of transfer, the largest difference of a held-out row's margin between the federated
    and the pooled model.
    """

    models: dict[str, dict[str, float]]
    rows: dict[str, int]
    gains: dict[str, list[float]]
    margins: float | None = None


def compare(agreement: str, settings: Mapping[str, Path], run: str, vanished: Collection[str] = ()) -> Comparison:
    """Train the comparison models of a finished run, with the encoding, the parameters and the number of rounds of the run.

    ``vanished`` are clients that did not finish. Their rows train the pooled model only; no model is measured on them.
    """
    contexts = {party: PartyContext.open(agreement, file) for party, file in settings.items()}
    protocol = next(iter(contexts.values())).terms.task.descriptor
    compared: Comparison
    if protocol.compare is not None:
        compared = protocol.load(protocol.compare)(contexts, run)
    elif protocol.family == "horizontal":
        compared = _by_rows([context for context in contexts.values() if context.role == CLIENT], run, vanished)
    else:
        compared = _by_columns(contexts, run)
    initiator = next(context for context in contexts.values() if context.role in INITIATORS)
    measured = initiator.state(run).get(MEASURED)
    if measured is None:
        return compared
    names = dict.fromkeys([*metric_names(initiator.terms.task.outcome), *measured])
    return replace(compared, models={"federated": {name: measured[name] for name in names}, **compared.models})


def _by_columns(contexts: Mapping[str, PartyContext], run: str) -> Comparison:
    """Compare with models on the same rows: one with the columns of all parties, and one with the guest's columns only."""
    columns: dict[str, Any] = {}
    parts: dict[str, ModelPart] = {}
    begun: dict[str, State] = {}
    holders = {party: context for party, context in contexts.items() if context.role in HOLDERS}
    guest = next(context for context in holders.values() if context.role == GUEST)
    for party, context in sorted(holders.items(), key=lambda pair: pair[1].role != GUEST):
        aligned, part = load_aligned(context, run), part_of_run(context, run)
        columns[party], parts[party] = part.encoder.transform(features(context, aligned)), part
        beginning = context.state(run, "train").get(BEGINNING)
        if beginning is not None:
            begun[party] = beginning
    aligned, task = load_aligned(guest, run), guest.terms.task
    rows = LabelledRows(label(guest, aligned), weight(guest, aligned), aligned.test)
    held_out, reference = rows.labels[rows.test], reference_of(task)
    pooled = Pooled(task, guest.terms.limits, guest.params(run), parts[guest.me].rounds, columns, rows, begun)
    alone = replace(pooled, columns={guest.me: columns[guest.me]})
    totals = {"pooled": reference.totals(pooled), "guest_only": reference.totals(alone)}
    off = None
    if reference.federated is not None:
        federated = reference.federated(parts, guest.me, {party: x[rows.test] for party, x in columns.items()})
        off = float(np.abs(federated - totals["pooled"].reshape(federated.shape)).max())
    curves = {}
    if task.outcome == "binary":
        evaluation = guest.state(run)[EVALUATION]
        curves = {"federated": evaluation["gains"], **{name: gains(held_out, scores) for name, scores in totals.items()}}
    counts = {"common": len(rows.test), "train": int((~rows.test).sum()), "test": int(rows.test.sum())}
    return Comparison({name: measure(task.outcome, held_out, scores) for name, scores in totals.items()}, counts, curves, off)


def _by_rows(clients: Sequence[PartyContext], run: str, vanished: Collection[str]) -> Comparison:
    """Compare with models on the same columns: with the rows of all clients, of the survivors, and of the best single survivor.

    All are measured on the held-out rows of all survivors.
    """
    survivors = [context for context in clients if context.me not in vanished]
    part = part_of_run(survivors[0], run)  # all clients have the same encoder and number of rounds
    x, y, test, owner = [], [], [], []
    for number, context in enumerate([*survivors, *(context for context in clients if context not in survivors)]):
        aligned = load_aligned(context, run)
        x.append(part.encoder.transform(features(context, aligned)))
        y.append(label(context, aligned))
        test.append(aligned.test)
        owner.append(np.full(len(aligned.test), number))
    features_, labels, held_out, owners = (np.concatenate(parts) for parts in (x, y, test, owner))
    terms, params, stayed = survivors[0].terms, survivors[0].params(run), owners < len(survivors)

    def reference(trained: Any) -> dict[str, float]:
        used = (trained & ~held_out) | (stayed & held_out)
        rows = LabelledRows(labels[used], np.ones(int(used.sum())), held_out[used])
        case = Pooled(terms.task, terms.limits, params, part.rounds, {"": features_[used]}, rows)
        return measure(terms.task.outcome, rows.labels[rows.test], reference_of(terms.task).totals(case))

    first = metric_names(terms.task.outcome)[0]
    own = [owners == number for number in range(len(survivors)) if len(set(labels[(owners == number) & ~held_out])) > 1]
    alone = sorted((reference(mine) for mine in own), key=lambda metrics: metrics[first], reverse=HIGHER_IS_BETTER[first])
    models = {"pooled": reference(np.ones(len(labels), dtype=bool))}
    if vanished:
        models["pooled_survivors"] = reference(stayed)
    counts = {
        "common": len(labels),
        "train": int((stayed & ~held_out).sum()),
        "test": int((stayed & held_out).sum()),
    }
    return Comparison({**models, "best_client": alone[0]}, counts, {})
