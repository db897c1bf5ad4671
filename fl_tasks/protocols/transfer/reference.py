"""For comparison: transfer learning in the clear, and models of the target alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tombolo.fl_tasks.learning.gains import gains
from tombolo.fl_tasks.learning.metrics import classification
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.protocols.transfer.objective import SourceRows
from tombolo.fl_tasks.protocols.transfer.part import TransferPart
from tombolo.fl_tasks.protocols.transfer.plain import self_learning, train
from tombolo.fl_tasks.protocols.transfer.protocol import TransferParameters, TransferTerms
from tombolo.fl_tasks.protocols.transfer.rows import labelled_of
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned, with_own
from tombolo.fl_tasks.workflow.comparison import Comparison
from tombolo.storage.roles import GUEST, HOST


def compare(contexts: Mapping[str, PartyContext], run: str) -> Comparison:
    """Compare with the same algorithm in the clear, and with the target alone if it had the labels of the common training rows.

    The target alone uses a logistic regression or a support vector machine: the better one on the held-out rows counts.
    """
    by_role = {context.role: context for context in contexts.values()}
    guest, host = by_role[GUEST], by_role[HOST]
    parts = {role: part_of_run(context, run) for role, context in by_role.items()}
    source_part, target_part = parts[GUEST], parts[HOST]
    assert isinstance(source_part, TransferPart) and isinstance(target_part, TransferPart)
    aligned, params, terms = load_aligned(guest, run), guest.params(run), guest.terms.task.section(TransferTerms)
    assert isinstance(params, TransferParameters)
    test, own = aligned.test, with_own(guest, run, aligned)
    labels, common = label(guest, own), int((~aligned.test).sum())
    labelled, kept = labelled_of(params, common), ~own.test
    source = SourceRows.of(
        source_part.encoder.transform(features(guest, own).filter(kept)),
        labels[kept],
        common,
        labelled,
        params.class_weights == "balanced",
    )
    table = features(host, load_aligned(host, run))
    x = target_part.encoder.transform(table)
    plain = train(terms, params, source, x[~test])
    party_net, held_out = target_part.party_net, labels[: len(test)][test]
    assert source_part.phi is not None
    totals = {
        "federated": party_net.features(target_part.w, x[test]) @ source_part.phi,
        "pooled": party_net.features(plain.target, x[test]) @ plain.phi,
    }
    columns = target_part.encoder.encoder.transform(table)
    learnt = self_learning(columns[~test][:labelled], labels[kept][:labelled], columns[test])
    totals["self_learning"] = max(learnt.values(), key=lambda scores: classification(held_out, scores)["auc"])
    alone = classification(held_out, totals["self_learning"])
    models = {"pooled": classification(held_out, totals["pooled"]), "self_learning": {name: alone[name] for name in ("auc", "ks")}}
    curves = {name: gains(held_out, scores) for name, scores in totals.items()}
    counts = {"common": len(test), "train": common, "test": int(test.sum())}
    return Comparison(models, counts, curves, float(np.abs(totals["federated"] - totals["pooled"]).max()))
