"""The steps of the diagnosis demo: transfer from a hospital to a clinic, measured on the clinic's own new patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from tombolo.cli.demo import diagnosis
from tombolo.cli.demo.runs import Up, bytes_sent
from tombolo.storage.roles import HOST

if TYPE_CHECKING:
    from tombolo.fl_tasks.runtime.context import PartyContext

PICTURE = "transfer.svg"
_COMMON, _DRAWS = (30, 45, 60, 90, 120, 180, 240), 5
_LINES = (("transfer", "#1565c0"), ("logistic regression", "#b26a00"), ("support vector machine", "#777"))


def transfer_and_diagnose(up: Up) -> dict[str, Any]:
    """Run both DAGs. Returns the content of the report.

    The metrics ``transfer`` and ``self_learning`` are measured on the clinic's new patients, whose diagnoses came later.
    The metrics ``federated`` come from the evaluate stage, on the held-out common patients.
    """
    from tombolo.fl_tasks.runtime.context import PartyContext

    training, prediction = up.run("train"), up.run("predict")
    up.all_well()
    federation = up.federation
    clinic = next(party for party, role in federation.roles.items() if role == HOST)
    predicted = up.airflows[clinic].xcom(prediction.dag, prediction.runs[clinic], "predict")
    up.show.say("training the clinic's own models, and transfer with fewer and more common patients, for comparison")
    came = up.came_of(training)
    compared = came["compared"]
    contexts = {party: PartyContext.open(federation.agreement, file) for party, file in federation.settings.items()}
    models = on_new_patients(contexts, clinic, came["run"], Path(predicted["scores"]))
    return {
        **came,
        "compared": replace(compared, models={"federated": compared.models["federated"], **models}, gains={}),
        "seconds": {**training.seconds(federation.initiator), "prediction": prediction.seconds(clinic)["total"]},
        "bytes_sent": bytes_sent(federation, training.runs, prediction.runs),
        "predicted_rows": predicted["rows"],
        "curve": curve(contexts[clinic]),
    }


def on_new_patients(contexts: Mapping[str, PartyContext], clinic: str, run: str, scores: Path) -> dict[str, dict[str, float]]:
    """AUC and KS on the same new patients: of the scores that the clinic received, and of the better one of its own models."""
    import pandas as pd
    import pyarrow as pa

    from tombolo.fl_tasks.learning.metrics import classification
    from tombolo.fl_tasks.models.reading import part_of_run
    from tombolo.fl_tasks.protocols.transfer.components import Components
    from tombolo.fl_tasks.protocols.transfer.plain import self_learning
    from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned

    home = contexts[clinic].party_settings.folder
    known = pd.read_parquet(home / "diagnoses.parquet").set_index(diagnosis.ID)[diagnosis.LABEL]
    scored = pd.read_parquet(scores)
    labels = known[scored[diagnosis.ID]].to_numpy(float)
    aligned = {party: load_aligned(context, run) for party, context in contexts.items()}
    (hospital,) = (party for party in contexts if party != clinic)
    train = ~aligned[clinic].test
    encoder = part_of_run(contexts[clinic], run).encoder
    assert isinstance(encoder, Components)
    new = pd.read_parquet(home / "new_patients.parquet").set_index(diagnosis.ID).loc[scored[diagnosis.ID]]
    learnt = self_learning(
        encoder.encoder.transform(features(contexts[clinic], aligned[clinic]).filter(pa.array(train))),
        label(contexts[hospital], aligned[hospital])[train],
        encoder.encoder.transform(pa.Table.from_pandas(new, preserve_index=False)),
    )
    alone = max((classification(labels, predicted) for predicted in learnt.values()), key=lambda model: model["auc"])
    together = classification(labels, scored["score"].to_numpy())
    return {
        name: {kind: model[kind] for kind in ("auc", "ks")} for name, model in (("transfer", together), ("self_learning", alone))
    }


def curve(context: PartyContext) -> list[dict[str, float]]:
    """Mean AUC on new patients for several numbers of common patients, over several newly drawn populations.

    Compares transfer in its plain form with the clinic's own models, which are trained on the common patients' labels.
    """
    import numpy as np

    terms, points = context.terms, []
    drawn = [diagnosis.generate(np.random.default_rng(seed), 4000) for seed in range(_DRAWS)]
    for common in _COMMON:
        every = [_aucs(terms, frame, common) for frame in drawn]
        points.append({"common": float(common), **{name: float(np.mean([aucs[name] for aucs in every])) for name, _ in _LINES}})
    return points


def _aucs(terms: Any, frame: Any, common: int) -> dict[str, float]:
    import numpy as np
    import pyarrow as pa

    from tombolo.agreements.tables import TableTerms
    from tombolo.fl_tasks.learning.metrics import classification
    from tombolo.fl_tasks.protocols.transfer.components import Components
    from tombolo.fl_tasks.protocols.transfer.net import PartyNet
    from tombolo.fl_tasks.protocols.transfer.objective import SourceRows
    from tombolo.fl_tasks.protocols.transfer.plain import self_learning, train
    from tombolo.fl_tasks.protocols.transfer.protocol import TransferParameters, TransferTerms

    transfer, params = terms.task.section(TransferTerms), TransferParameters.model_validate(terms.choose({}))
    clinic = np.arange(common + diagnosis.CLINIC)
    hospital = np.r_[np.arange(common), clinic[-1] + 1 : clinic[-1] + 1 + diagnosis.HOSPITAL - common]
    new, labels = np.arange(hospital[-1] + 1, len(frame)), frame[diagnosis.LABEL].to_numpy(float)
    inputs, encoders = {}, {}
    for rows, columns in ((hospital, diagnosis.HOSPITAL_COLUMNS), (clinic, diagnosis.CLINIC_COLUMNS)):
        table = pa.Table.from_pandas(frame[list(columns)], preserve_index=False)
        mine = np.isin(np.arange(len(frame)), rows)
        encoders[columns] = Components.fit(table, TableTerms(), mine, terms.limits, transfer.components, "demo")
        inputs[columns] = encoders[columns].transform(table), encoders[columns].encoder.transform(table)
    own, (x, raw) = inputs[diagnosis.HOSPITAL_COLUMNS][0], inputs[diagnosis.CLINIC_COLUMNS]
    model = train(transfer, params, SourceRows.of(own[hospital], labels[hospital], common, common, False), x[:common])
    scores = {"transfer": PartyNet.of(transfer, x.shape[1]).features(model.target, x[new]) @ model.phi}
    scores |= self_learning(raw[:common], labels[:common], raw[new])
    return {name: classification(labels[new], predicted)["auc"] for name, predicted in scores.items()}


def show_curve(report: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Compare transfer with self-learning by the number of common patients: as a table, and as a picture in ``folder``."""
    points = report["curve"]
    table = Table(title="AUC on the clinic's new patients, by the number of common patients in training", title_justify="left")
    for name in ("common", *(name for name, _ in _LINES)):
        table.add_column(name, justify="right")
    for point in points:
        table.add_row(f"{point['common']:.0f}", *(f"{point[name]:.3f}" for name, _ in _LINES))
    console.print(table)
    metrics = report["metrics"]
    console.print(
        f"In this run: {metrics['transfer']['auc']:.3f} by transfer, {metrics['self_learning']['auc']:.3f} by the better one of "
        f"the clinic's own models, on {report['predicted_rows']} new patients.",
        highlight=False,
    )
    (folder / PICTURE).write_text(picture(points), encoding="utf-8")
    console.print(f"Picture of the curves: {folder / PICTURE}", highlight=False, soft_wrap=True)


def picture(points: Sequence[Mapping[str, float]]) -> str:
    """An SVG with one line per model."""
    from tombolo.fl_tasks.pages.charts import Axis, Curve, curves

    lines = [Curve([(point["common"], point[name]) for point in points], name, colour) for name, colour in _LINES]
    x = Axis({0: "0"} | {point["common"]: f"{point['common']:.0f}" for point in points}, "common patients", grid=False)
    y = Axis.around([point[name] for point in points for name, _ in _LINES])
    return curves(lines, x, y, "AUC on new patients by the number of common patients")
