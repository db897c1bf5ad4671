"""Quality bars of federated transfer learning: ``python -m benchmarks.acceptance_transfer DATA [--only TEXT] [--out FOLDER]``.

DATA holds the tables of default_credit; digits come with scikit-learn. The source has the labels and one part of the columns. The
target has the other part. Settings were chosen on the draws 100 to 103 and are fixed. Figures are means over the draws 1 to 5. Each
draw splits the users again: 500 common users to train on, of which a stated number is used with labels; 1,800 held-out users (539
of the digits); half of the rest to each party. Alone, the target learns from the labelled common users. Means are of the plain
form. The first draw is also trained under encryption, with 2048-bit keys and all parties as processes; the result must be the same.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.acceptance_horizontal import Finding
from tombolo.agreements.reading import read_model
from tombolo.agreements.tables import TableTerms
from tombolo.agreements.terms import LimitTerms, Terms
from tombolo.cli.simulate import simulated
from tombolo.fl_tasks.learning.metrics import classification
from tombolo.fl_tasks.protocols.transfer.components import Components
from tombolo.fl_tasks.protocols.transfer.net import PartyNet
from tombolo.fl_tasks.protocols.transfer.objective import SourceRows
from tombolo.fl_tasks.protocols.transfer.plain import self_learning, train
from tombolo.fl_tasks.protocols.transfer.protocol import TransferParameters, TransferTerms

_DRAWS, _USERS = range(1, 6), 6000
_ALIKE = {"rounds": 40, "rate": 0.05, "alignment_weight": 0.1, "loss_change": 0.0, "key_bits": 2048}
Users = tuple[pd.DataFrame, pd.DataFrame, pd.Series]


@dataclass(frozen=True)
class Case:
    """A data set (users with the source's columns, the target's columns and labels), and the settings that were chosen for it."""

    name: str
    read: Callable[[Path], Users]
    labelled: tuple[int, ...]
    bar_at: tuple[int, ...]
    transfer: Mapping[str, Any]
    parameters: Mapping[str, Any]

    def numbers_per_weight(self, labelled: int) -> int:
        """The default limit, or less if there are too few rows for it. docs/protocols/transfer.md explains the risk of less."""
        terms = TransferTerms(**self.transfer)
        numbers = labelled * terms.width // PartyNet.of(terms, terms.components).net.count
        return min(LimitTerms().minimum_numbers_per_weight, max(1, numbers))

    def terms(self, labelled: int, folder: Path) -> Path:
        """The agreement's folder, with columns clipped at five deviations."""
        document = {
            "schema": "tombolo.terms/1",
            "name": f"{self.name}-{labelled}",
            "parties": {"source": {"role": "guest"}, "target": {"role": "host"}},
            "task": {
                "protocol": "transfer",
                "label": {"column": "y"},
                "transfer": dict(self.transfer),
                "parameters": {
                    **_ALIKE,
                    **self.parameters,
                    "labelled_rows": labelled,
                    "seed": {"default": 1, "min": 0, "max": 9},
                },
            },
            "alignment": {"id": [{"column": "id"}]},
            "limits": {"minimum_numbers_per_weight": self.numbers_per_weight(labelled)},
            "scores": ["target"],
        }
        made = folder / str(document["name"])
        made.mkdir(parents=True, exist_ok=True)
        (made / "agreement.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return made


@dataclass(frozen=True)
class Draw:
    """One draw of users: the tables of both parties (common training users first, then held-out ones), and the group sizes."""

    source: pd.DataFrame
    target: pd.DataFrame
    common: int
    held_out: int

    @classmethod
    def of(cls, users: Users, number: int, common: int) -> Draw:
        """Draw number ``number``, with ``common`` common training users."""
        rng = np.random.default_rng(number)
        at = rng.permutation(len(users[2]))[:_USERS]
        held_out = len(at) * 3 // 10
        shared, rest = at[: common + held_out], at[common + held_out :]
        own = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        ids = pd.Series([f"U{user:06d}" for user in range(len(users[2]))], name="id")
        source, target = (
            pd.concat([ids, users[side]], axis=1).iloc[np.concatenate([shared, own[side]])].reset_index(drop=True)
            for side in (0, 1)
        )
        source["y"] = users[2].iloc[np.concatenate([shared, own[0]])].to_numpy()
        return cls(source, target, common, held_out)

    def plain(self, terms: Terms, number: int, labelled: int) -> dict[str, float]:
        """AUC on held-out users: of transfer, and of each model of the target alone."""
        transfer = terms.task.section(TransferTerms)
        held_out = np.arange(self.common, self.common + self.held_out)
        inputs, encoders = [], []
        for frame in (self.source, self.target):
            table = pa.Table.from_pandas(frame.drop(columns=["id", "y"], errors="ignore"), preserve_index=False)
            kept = ~np.isin(np.arange(len(frame)), held_out)
            encoders.append(Components.fit(table, _clipped(table), kept, terms.limits, transfer.components, "target"))
            inputs.append(encoders[-1].transform(table))
        params = TransferParameters.model_validate(terms.choose({"seed": number}))
        labels, kept = self.source["y"].to_numpy(float), ~np.isin(np.arange(len(self.source)), held_out)
        source = SourceRows.of(inputs[0][kept], labels[kept], self.common, labelled, params.class_weights == "balanced")
        model = train(transfer, params, source, inputs[1][: self.common])
        scores = PartyNet.of(transfer, inputs[1].shape[1]).features(model.target, inputs[1][held_out]) @ model.phi
        columns = encoders[1].encoder.transform(table)
        alone = self_learning(columns[:labelled], labels[:labelled], columns[held_out])
        every = {"transfer": scores, **alone}
        return {name: classification(labels[held_out], predicted)["auc"] for name, predicted in every.items()}

    def write(self, folder: Path) -> tuple[dict[str, Path], Path]:
        """Write the parties' files and the split file. Returns their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        files = {"source": folder / "source.parquet", "target": folder / "target.parquet"}
        self.source.to_parquet(files["source"], index=False)
        self.target.to_parquet(files["target"], index=False)
        shared = self.source["id"].iloc[: self.common + self.held_out]
        sets = np.where(np.arange(len(shared)) < self.common, "train", "test")
        pd.DataFrame({"id": shared, "set": sets}).to_csv(folder / "split.csv", index=False)
        return files, folder / "split.csv"


def find(case: Case, data: Path, out: Path, encrypted: bool) -> Iterable[Finding]:
    """Means over the draws for each number of labelled common users, with and without other common users. Then the first draw under
    encryption, if asked for."""
    users = case.read(data)
    for labelled in case.labelled:
        terms = read_model(case.terms(labelled, out / "agreements") / "agreement.yaml", Terms)
        for common, least in ((500, labelled in case.bar_at), (labelled, False)):
            draws = [Draw.of(users, number, common).plain(terms, number, labelled) for number in _DRAWS]
            mean = {name: float(np.mean([aucs[name] for aucs in draws])) for name in draws[0]}
            best = max(value for name, value in mean.items() if name != "transfer")
            what = f"{labelled} labelled of {common} common"
            yield Finding(f"AUC, {what}: transfer", mean["transfer"], least=best if least else None)
            for name in draws[0]:
                if name != "transfer":
                    yield Finding(f"AUC, {what}: {name}", mean[name])
    if not encrypted:
        return
    labelled, number = case.labelled[-1], _DRAWS[0]
    files, split = Draw.of(users, number, 500).write(out / "tables" / case.name)
    agreement = case.terms(labelled, out / "agreements")
    metrics = simulated(agreement, files, {"seed": number}, split, out / case.name, Console(quiet=True))["metrics"]
    yield Finding("AUC, encrypted against plain form", abs(metrics["federated"]["auc"] - metrics["pooled"]["auc"]), most=1e-4)
    yield Finding("AUC, encrypted", metrics["federated"]["auc"])
    yield Finding("AUC, target alone, the better one", metrics["self_learning"]["auc"])


def _clipped(table: pa.Table) -> TableTerms:
    return TableTerms.model_validate({"columns": {name: {"kind": "numeric", "clip": 5.0} for name in table.column_names}})


def _credit(data: Path) -> Users:
    guest, first, second = (pd.read_parquet(data / f"default_credit__{party}.parquet") for party in ("guest", "host1", "host2"))
    every = guest.merge(first, on="id").merge(second, on="id").sort_values("id", ignore_index=True)
    source = [name for name in (*guest.columns, *first.columns) if name not in ("id", "y")]
    return every[source].astype(float), every[[name for name in second.columns if name != "id"]].astype(float), every["y"]


def _digits(data: Path) -> Users:
    from sklearn.datasets import load_digits

    pixels, digit = load_digits(return_X_y=True)
    sides = [[row * 8 + column for row in range(8) for column in columns] for columns in (range(4), range(4, 8))]
    left, right = (pd.DataFrame(pixels[:, side], columns=[f"pixel_{pixel}" for pixel in side]) for side in sides)
    return left, right, pd.Series((digit >= 5).astype(int))


CASES = (
    Case("credit", _credit, (50, 100, 200), (50, 100, 200), {"components": 10, "width": 8}, {"class_weights": "balanced"}),
    Case("digits", _digits, (50, 100, 200), (50,), {"components": 10, "width": 8, "hidden": [16]}, {"pretraining": 100}),
)


def main(arguments: list[str]) -> int:
    """Run the cases. Returns exit status 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default="", help="run only the cases whose name contains this text")
    parser.add_argument("--plain", action="store_true", help="skip the encrypted runs")
    parser.add_argument("--out", type=Path, default=Path(".tombolo/acceptance-transfer"))
    given = parser.parse_args(arguments)
    console, results = Console(), []
    table = Table(title="Quality bars of transfer", title_justify="left")
    for column in ("case", "figure", "value", "bar", "verdict"):
        table.add_column(column)
    for case in (case for case in CASES if given.only in case.name):
        for finding in find(case, given.data, given.out, not given.plain):
            verdict = ("passed" if finding.passed else "FAILED") if finding.bar else "reported"
            table.add_row(case.name, finding.what, f"{finding.value:.4g}", finding.bar, verdict)
            results.append(
                {"case": case.name, "figure": finding.what, "value": finding.value, "bar": finding.bar, "verdict": verdict}
            )
    console.print(table)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "report.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0 if all(result["verdict"] != "FAILED" for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
