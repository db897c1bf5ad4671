"""A vertical network's whole life: validated, aligned, trained in legs, evaluated, published, settled, predicted with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.federation import TEST_BITS, Federation, federation
from tests.fl_tasks.workflow.trained import sample
from tests.fl_tasks.workflow.trained import settle as point
from tests.rounded import rounded
from tombolo.fl_tasks.learning.links import sigmoid
from tombolo.fl_tasks.learning.metrics import classification
from tombolo.fl_tasks.learning.nets.split_network import GuestNet, activated
from tombolo.fl_tasks.learning.vertical.roles import DEALER_WAIVER
from tombolo.fl_tasks.models.part import ModelPart
from tombolo.fl_tasks.models.reading import part_of_run, part_of_version
from tombolo.fl_tasks.protocols.vertical_mlp.grid import WEIGHT_BITS
from tombolo.fl_tasks.protocols.vertical_mlp.protocol import SPLIT_WAIVER
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.predict import predict
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate

PARTIES = ("clinic", "lab", "bank")


def agreed(root: Path, engine: str = "paillier", key_bits: int = TEST_BITS, rounds: int = 4, **terms) -> Federation:
    """A clinic, a lab and a bank that agreed on a network; with a notary where somebody deals."""
    tables, _ = sample(1)
    task = {"protocol": "vertical-mlp", "label": {"column": "label"}, "network": {"bottom": 3, "hidden": [1]}}
    waivers = {"split": [SPLIT_WAIVER], "dealer": [DEALER_WAIVER]}
    task |= {"engine": engine, "waivers": waivers.get(engine, [])}
    keys = {"key_bits": key_bits} if engine == "paillier" else {}
    task["parameters"] = {**keys, "rounds": rounds, "step": 1.0, "test_fraction": 0.3}
    roles = {"clinic": "guest", "lab": "host", "bank": "host"}
    roles |= {"notary": "arbiter"} if engine == "dealer" else {}
    limits = {"minimum_rows_per_weight": 10}
    return federation(root, tables, roles, task=task, limits=limits, scores=["clinic", "bank"], **terms)


def whole(parts: dict[str, ModelPart], x: dict[str, np.ndarray]) -> np.ndarray:
    """Logits by all parts at once."""
    guest, sums = parts["clinic"], 0.0
    for party in ("lab", "bank"):
        part = parts[party]
        between = (part.shares[party] + guest.shares[party]).astype(float) / 2.0**WEIGHT_BITS
        sums = sums + activated("tanh", part.bottom.outputs(part.w, x[party])) @ between
    guest_net = GuestNet(guest.bottom, guest.top, "tanh")
    return guest_net.outputs(np.concatenate([guest.w, guest.above]), x["clinic"], sums)[:, 0]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["paillier", "split", "dealer"])
def test_a_whole_life(tmp_path, engine):
    made = agreed(tmp_path, engine, incentives={"budget": 900, "method": "volume"})
    run = made.start()
    for stage in (validate, align):
        made.stage(stage, run)
    assert not made.stage(train, run, leg_end=2)["lab"]["finished"]
    finished = made.stage(train, run)
    assert finished["clinic"]["finished"] and finished["lab"]["loss"] == [] and len(finished["clinic"]["loss"]) == 4
    parts, x = {}, {}
    for party in PARTIES:
        context = made.context(party)
        aligned, parts[party] = load_aligned(context, run), part_of_run(context, run)
        x[party] = parts[party].encoder.transform(features(context, aligned).filter(aligned.test))
        if party == "clinic":
            y = label(context, aligned)[aligned.test]
    told = made.stage(evaluate, run)
    assert told["bank"]["metrics"] == rounded(classification(y, whole(parts, x)), len(y), 1e-3)
    card = Path(made.stage(publish, run)["lab"]["card"]).read_text()
    assert "A network of dense layers" in card and "clinic_a" not in card
    settled = made.stage(settle, run)
    assert {one["unmatched"] for one in settled.values()} == {0}
    new, _ = sample(2)
    for party in PARTIES:
        point(made, party, "predict_table", new[party].drop(["label"]) if party == "clinic" else new[party])
    made.start("new-1", "predict", model=run)
    for stage in (validate, align):
        made.stage(stage, "new-1")
    scores = made.stage(predict, "new-1")
    ids = new["clinic"].column("id").to_pylist()
    for party in PARTIES:
        part = part_of_version(made.context(party), run)
        own = dict(zip(new[party].column("id").to_pylist(), part.encoder.transform(new[party]), strict=True))
        parts[party], x[party] = part, np.array([own[one] for one in ids])
    expected = dict(zip(ids, sigmoid(whole(parts, x)).tolist(), strict=True))
    for party in ("clinic", "bank"):
        table = pq.read_table(scores[party]["scores"])
        assert dict(zip(*(column.to_pylist() for column in table.columns), strict=True)) == pytest.approx(expected, abs=1e-3)
    assert scores["lab"]["scores"] is None
