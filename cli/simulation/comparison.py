"""What the federated model is compared with, computed from the same rows: the pooled model, and that of one party alone.

Opens every party's private area, so it works only where one machine plays all parties.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.storage.canonical import parse
from tombolo.storage.roles import ARBITER, CLIENT, GUEST, HOST


@dataclass(frozen=True)
class Comparison:
    """Metrics by model: ``pooled``, where some have vanished ``pooled_survivors``, and one party's own as ``guest_only``,
    ``best_client`` or, where the target of a transfer had the labels of its common training rows, ``self_learning``; counts of
    rows; of a binary label that the guest alone holds, gains of these and the federated model; of boosted trees and of transfer
    ``margins``, by how much the margin of a held-out row differs most between the federated and the pooled model."""

    models: dict[str, dict[str, float]]
    rows: dict[str, int]
    gains: dict[str, list[float]]
    margins: float | None = None


def compare(agreement: str, settings: Mapping[str, Path], run: str, vanished: Collection[str] = ()) -> Comparison:
    """Train the plain models of a finished run, with the run's own encoding, parameters and number of rounds.

    ``vanished`` clients did not finish: their rows are in the pooled model alone, and none of them is measured on.
    """
    if any(PartyContext.open(agreement, file).role == CLIENT for file in settings.values()):
        return _by_rows(agreement, settings, run, vanished)
    if any(PartyContext.open(agreement, file).terms.task.transfer is not None for file in settings.values()):
        return _transferred(agreement, settings, run)
    return _by_columns(agreement, settings, run)


def _by_columns(agreement: str, settings: Mapping[str, Path], run: str) -> Comparison:
    """All parties' columns of the same rows, and the guest's."""
    import numpy as np

    from tombolo.agreements.parameters import VERTICAL_NETWORKS
    from tombolo.fl_tasks.learning.gains import gains
    from tombolo.fl_tasks.learning.metrics import measure
    from tombolo.fl_tasks.learning.reference import Rows, reference_totals, towers_totals
    from tombolo.fl_tasks.models.part import ModelPart
    from tombolo.fl_tasks.models.reading import part_of_run
    from tombolo.fl_tasks.runtime.checkpoints import unpack
    from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned, weight

    blocks: dict[str, Any] = {}
    places: dict[str, PartyContext] = {}
    parts: dict[str, ModelPart] = {}
    for party, file in settings.items():
        context = PartyContext.open(agreement, file)
        if context.role == ARBITER:
            continue
        places[party] = context
        aligned, part = load_aligned(context, run), part_of_run(context, run)
        encoded, parts[party] = part.encoder.transform(features(context, aligned)), part
        if context.role == GUEST:
            guest, rounds = context, part.rounds
            rows = Rows(label(context, aligned), weight(context, aligned), aligned.test)
            blocks = {party: encoded, **blocks}
        else:
            blocks[party] = encoded

    task, held_out = guest.terms.task, rows.labels[rows.test]
    compared = {"pooled": blocks, "guest_only": {guest.me: blocks[guest.me]}}
    if task.protocol in VERTICAL_NETWORKS:
        begun = {party: unpack(context.run_area(run).area("train").get("beginning") or b"") for party, context in places.items()}
        batches = np.array_split(begun[guest.me]["order"], begun[guest.me]["batches"])
        network = task.network
        assert network is not None
        totals = {name: towers_totals(network, guest.params(run), rounds, x, rows, begun, batches) for name, x in compared.items()}
    else:
        totals = {
            name: reference_totals(task, guest.terms.limits, guest.params(run), rounds, np.hstack(list(x.values())), rows)
            for name, x in compared.items()
        }
    off = _off(parts, guest.me, {party: x[rows.test] for party, x in blocks.items()}, totals["pooled"])
    curves = {}
    if task.outcome == "binary":
        evaluation = parse(guest.run_area(run).get("evaluation") or b"{}")
        curves = {"federated": evaluation["gains"], **{name: gains(held_out, scores) for name, scores in totals.items()}}
    counts = {"common": len(rows.test), "train": int((~rows.test).sum()), "test": int(rows.test.sum())}
    return Comparison({name: measure(task.outcome, held_out, found) for name, found in totals.items()}, counts, curves, off)


def _transferred(agreement: str, settings: Mapping[str, Path], run: str) -> Comparison:
    """The same algorithm in the clear, and what the target alone would learn from the common training rows if it had their labels;
    of a logistic regression and a support vector machine the better one on the held-out rows."""
    import numpy as np

    from tombolo.fl_tasks.learning.gains import gains
    from tombolo.fl_tasks.learning.metrics import classification
    from tombolo.fl_tasks.models.reading import part_of_run
    from tombolo.fl_tasks.protocols.transfer.model import TransferPart
    from tombolo.fl_tasks.protocols.transfer.objective import Source
    from tombolo.fl_tasks.protocols.transfer.plain import self_learning, train
    from tombolo.fl_tasks.protocols.transfer.rows import labelled_of
    from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned, with_own

    places = {context.role: context for context in (PartyContext.open(agreement, file) for file in settings.values())}
    parts, guest, host = {}, places[GUEST], places[HOST]
    for role, context in places.items():
        part = parts[role] = part_of_run(context, run)
        assert isinstance(part, TransferPart)
    aligned, params, terms = load_aligned(guest, run), guest.params(run), guest.terms.task.transfer
    assert terms is not None
    test, own = aligned.test, with_own(guest, run, aligned)
    labels, common = label(guest, own), int((~aligned.test).sum())
    labelled, kept = labelled_of(params, common), ~own.test
    source = Source.of(
        parts[GUEST].encoder.transform(features(guest, own).filter(kept)),
        labels[kept],
        common,
        labelled,
        params["class_weights"] == "balanced",
    )
    table = features(host, load_aligned(host, run))
    x = parts[HOST].encoder.transform(table)
    plain = train(terms, params, source, x[~test])
    tower, held_out = parts[HOST].tower, labels[: len(test)][test]
    totals = {
        "federated": tower.features(parts[HOST].w, x[test]) @ parts[GUEST].phi,
        "pooled": tower.features(plain.target, x[test]) @ plain.phi,
    }
    columns = parts[HOST].encoder.encoder.transform(table)
    learnt = self_learning(columns[~test][:labelled], labels[kept][:labelled], columns[test])
    totals["self_learning"] = max(learnt.values(), key=lambda scores: classification(held_out, scores)["auc"])
    alone = classification(held_out, totals["self_learning"])
    models = {"pooled": classification(held_out, totals["pooled"]), "self_learning": {name: alone[name] for name in ("auc", "ks")}}
    curves = {name: gains(held_out, found) for name, found in totals.items()}
    counts = {"common": len(test), "train": common, "test": int(test.sum())}
    return Comparison(models, counts, curves, float(np.abs(totals["federated"] - totals["pooled"]).max()))


def _off(parts: Mapping[str, Any], guest: str, codes: Mapping[str, Any], pooled: Any) -> float | None:
    """How far the margins of boosted trees, put together from all parties' parts, are from the pooled model's at most."""
    import numpy as np

    from tombolo.fl_tasks.learning.trees.part import TreePart
    from tombolo.fl_tasks.learning.trees.tree import directions, margins

    own = parts[guest]
    if not isinstance(own, TreePart):
        return None
    ways = [directions(parts[party].records, codes[party]) for party in own.parties]
    found = margins(own.trees, own.base, ways, len(pooled))
    return float(np.abs(found - pooled.reshape(found.shape)).max())


def _by_rows(agreement: str, settings: Mapping[str, Path], run: str, vanished: Collection[str]) -> Comparison:
    """All clients' rows of the same columns, the survivors', and the survivor whose own rows make the best model; measured on the
    held-out rows of all survivors."""
    import numpy as np

    from tombolo.fl_tasks.learning.metrics import HIGHER_IS_BETTER, metric_names
    from tombolo.fl_tasks.learning.reference import Rows, reference_metrics
    from tombolo.fl_tasks.models.reading import part_of_run
    from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned

    clients = [context for context in (PartyContext.open(agreement, file) for file in settings.values()) if context.role == CLIENT]
    survivors = [context for context in clients if context.me not in vanished]
    part = part_of_run(survivors[0], run)  # its encoder and rounds are everybody's
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
        rows = Rows(labels[used], np.ones(int(used.sum())), held_out[used])
        return reference_metrics(terms.task, terms.limits, params, part.rounds, features_[used], rows)

    first = metric_names(terms.task.outcome)[0]
    own = [owners == number for number in range(len(survivors)) if len(set(labels[(owners == number) & ~held_out])) > 1]
    alone = sorted((reference(mine) for mine in own), key=lambda found: found[first], reverse=HIGHER_IS_BETTER[first])
    models = {"pooled": reference(np.ones(len(labels), dtype=bool))}
    if vanished:
        models["pooled_survivors"] = reference(stayed)
    counts = {
        "common": len(labels),
        "train": int((stayed & ~held_out).sum()),
        "test": int((stayed & held_out).sum()),
    }
    return Comparison({**models, "best_client": alone[0]}, counts, {})
