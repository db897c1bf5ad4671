"""Quality bars of the horizontal protocols: ``python -m benchmarks.acceptance_horizontal DATA [--only TEXT] [--out FOLDER]``.

If a figure's name says nothing else, the figure is of a federated run, with all parties as processes and directory stores
(``tombolo simulate``). DATA holds ``heart4.parquet``: UCI heart disease at four hospitals, named in the column ``site``. Digits
come with scikit-learn. Their settings are chosen on a fifth of the training rows, never on held-out rows, with the protocol's
arithmetic on unprotected sums.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks._horizontal_trees_case import findings
from tombolo.agreements.reading import read_model
from tombolo.agreements.terms import Terms
from tombolo.cli.demo.digits import write_digits
from tombolo.cli.simulate import simulated
from tombolo.fl_tasks.learning import regression
from tombolo.fl_tasks.learning.linear_part import partial_scores
from tombolo.fl_tasks.learning.metrics import classification
from tombolo.fl_tasks.learning.nets.training import Sample, Training
from tombolo.fl_tasks.learning.parameters import Averaged
from tombolo.fl_tasks.learning.terms import NetworkTerms
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.protocols.horizontal_mlp.programs import Plan, addends, checked, moved, start
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.workflow.aligned import features, label, load_aligned

_DIGITS = Path(__file__).resolve().parents[1] / "federations" / "digits"
_SEED = 20260402
_HEART = {
    "numbers": ["age", "sex", "trestbps", "chol", "fbs", "thalach", "exang", "oldpeak", "ca"],
    "levels": {"cp": "1234", "restecg": "012", "slope": "123", "thal": "367"},
}


@dataclass(frozen=True)
class Work:
    """The folder with the tables, the folder for results, and the console."""

    data: Path
    out: Path
    console: Console

    def run(self, name: str, agreement: Path, tables: Mapping[str, Path], split: Path, **choices: Any) -> dict[str, Any]:
        """Run a simulation and return its report. The parties' folders are in ``out/name``."""
        self.console.rule(name)
        return simulated(agreement, dict(tables), choices, split, self.out / name, Console(quiet=True))


@dataclass(frozen=True)
class Finding:
    """One figure and its bar: the least or the largest allowed value. A figure without both is only reported."""

    what: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the value meets its bar."""
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def bar(self) -> str:
        """The bar as text; empty if there is none."""
        if self.least is None and self.most is None:
            return ""
        return f"at least {self.least:.4g}" if self.least is not None else f"at most {self.most:.4g}"


@dataclass(frozen=True)
class Case:
    """A case: its name, and the function that measures its figures."""

    name: str
    find: Callable[[Work], Iterable[Finding]]


def heart(work: Work) -> Iterable[Finding]:
    """Newton's method over four hospitals, against scikit-learn's logistic regression on the same encoded rows."""
    folder = work.out / "tables" / "heart4"
    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.read_parquet(work.data / "heart4.parquet")
    frame.loc[(frame["chol"] == 0) & frame["site"].isin(["switzerland", "va"]), "chol"] = (
        np.nan
    )  # these sites write 0 for a missing value
    for name in _HEART["levels"]:
        frame[name] = frame[name].map(lambda level: "unknown" if np.isnan(level) else f"{level:.0f}")
    tables = {}
    for site, rows in frame.groupby("site"):
        tables[str(site)] = folder / f"{site}.parquet"
        rows.drop(columns=["site", "num"]).to_parquet(tables[str(site)], index=False)
    split = _split(frame["id"], folder / "split.parquet")
    agreement = _heart_agreement(work.out / "agreements", list(tables))
    report = work.run("heart4-newton", agreement, tables, split)
    x, y, test, totals = [], [], [], []
    for site in tables:
        context = PartyContext.open("heart4", work.out / "heart4-newton" / "parties" / site / "party.yaml")
        aligned, part = load_aligned(context, report["run"]), part_of_run(context, report["run"])
        x.append(part.encoder.transform(features(context, aligned)))
        y.append(label(context, aligned))
        test.append(aligned.test)
        totals.append(partial_scores(part, x[-1]))
    x_, y_, test_, totals_ = (np.concatenate(parts) for parts in (x, y, test, totals))
    weights, intercept = regression.logistic(x_[~test_], y_[~test_], 1e-3)
    pooled = classification(y_[test_], x_[test_] @ weights + intercept)["auc"]
    federated = classification(y_[test_], totals_[test_])["auc"]
    yield Finding("AUC, pooled", pooled)
    yield Finding("AUC, federated", federated)
    yield Finding("AUC, difference", abs(federated - pooled), most=1e-6)
    yield Finding("AUC, best hospital alone", report["metrics"]["best_client"]["auc"])


def _heart_agreement(agreements: Path, sites: list[str]) -> Path:
    columns: dict[str, Any] = {name: {"missing": "mean"} for name in _HEART["numbers"]}
    columns |= {name: {"levels": list(levels)} for name, levels in _HEART["levels"].items()}
    terms = {
        "schema": "tombolo.terms/1",
        "name": "heart4",
        "parties": {**{site: {"role": "client"} for site in sites}, "registry": {"role": "aggregator"}},
        "task": {
            "protocol": "horizontal-logistic",
            "label": {"column": "y"},
            "horizontal": {"features": columns, "step_seconds": 120},
            "parameters": {"rounds": 20, "l2": 1e-3, "tolerance": 1e-8},
        },
        "alignment": {"id": [{"column": "id"}]},
        "deadlines": {"message": 600},
    }
    return _written(terms, agreements)


def digits_alike(work: Work) -> Iterable[Finding]:
    """Digits split at random: federated averaging against the pooled network."""
    agreement, tables, split = _digits(work, skewed=False)
    trial = Trial(tables, split)
    tried = {
        f"step {step}, {epochs} epochs": ({"rounds": 40, "step": step, "local_epochs": epochs})
        for step, epochs in itertools.product((0.03, 0.1), (1, 3))
    }
    chosen = trial.best(tried, work, "digits-alike")
    report = work.run("digits-alike", agreement, tables, split, **chosen)["metrics"]
    yield Finding("accuracy, pooled", report["pooled"]["accuracy"])
    yield Finding("accuracy, fedavg", report["federated"]["accuracy"], least=report["pooled"]["accuracy"] - 0.01)
    yield Finding("accuracy, best office alone", report["best_client"]["accuracy"])


def skewed(name: str, local: Mapping[str, Any], more: float) -> Case:
    """Two of the ten digits at each office; all strategies do the same ``local`` work. The case chooses fedprox or fedadam, and its
    weight or rate. The choice must reach an accuracy of 0.9, and that of fedavg plus ``more``."""

    def find(work: Work) -> Iterable[Finding]:
        agreement, tables, split = _digits(work, skewed=True)
        others: dict[str, dict[str, Any]] = {f"fedprox {w}": {"strategy": "fedprox", "proximal": w} for w in (0.01, 0.1, 1.0)}
        others |= {f"fedadam {rate}": {"strategy": "fedadam", "server_rate": rate} for rate in (0.01, 0.03, 0.1)}
        trial = Trial(tables, split)
        trial.best({"fedavg": local}, work, name)
        chosen = trial.best({which: {**local, **other} for which, other in others.items()}, work, name)
        plain = work.run(f"{name}-fedavg", agreement, tables, split, **local)["metrics"]
        corrected = work.run(f"{name}-{chosen['strategy']}", agreement, tables, split, **chosen)["metrics"]
        averaged = plain["federated"]["accuracy"]
        yield Finding("accuracy, pooled", plain["pooled"]["accuracy"])
        yield Finding("accuracy, fedavg", averaged)
        yield Finding(f"accuracy, {chosen['strategy']}", corrected["federated"]["accuracy"], least=max(0.9, averaged + more))
        yield Finding("accuracy, best office alone", plain["best_client"]["accuracy"])

    return Case(name, find)


def digits_private(work: Work) -> Iterable[Finding]:
    """Digits split at random, with differential privacy of rows. There is no bar."""
    agreement, tables, split = _digits(work, skewed=False)
    terms = yaml.safe_load((agreement / "agreement.yaml").read_text(encoding="utf-8"))
    task = terms["task"]
    task["horizontal"]["features"] = {name: {"range": [0, 16]} for name in task["horizontal"]["features"]}
    for epsilon in (3, 8):
        task["privacy"] = {"epsilon": epsilon, "delta": 1e-4, "clip": 2.0}
        private = _written({**terms, "name": f"digits-epsilon-{epsilon}"}, work.out / "agreements")
        name = f"digits-private-{epsilon}"
        report = work.run(name, private, tables, split, rounds=30, strategy="fedadam", server_rate=0.03)["metrics"]
        yield Finding(f"accuracy, epsilon {epsilon} at delta 1e-4", report["federated"]["accuracy"])


def trees(work: Work) -> Iterable[Finding]:
    """Trees of four hospitals from sums of integers, against trees of all rows in one place."""
    yield from (Finding(*finding) for finding in findings(work.out, work.run))


def _digits(work: Work, skewed: bool) -> tuple[Path, dict[str, Path], Path]:
    """The example's agreement without its quality gate (it would stop the run); the tables; the split file."""
    folder = work.out / "tables" / ("digits-skewed" if skewed else "digits-alike")
    tables = write_digits(folder, skewed)
    items = pd.concat([pd.read_parquet(path, columns=["item"]) for path in tables.values()])["item"]
    terms = yaml.safe_load((_DIGITS / "agreement.yaml").read_text(encoding="utf-8"))
    del terms["quality"]
    return _written(terms, work.out / "agreements"), tables, _split(items.sort_values(), folder / "split.parquet")


def _written(terms: Mapping[str, Any], agreements: Path) -> Path:
    folder = agreements / terms["name"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agreement.yaml").write_text(yaml.safe_dump(terms, sort_keys=False), encoding="utf-8")
    return folder


def _split(ids: pd.Series[str], path: Path) -> Path:
    """Write a split file that holds out a quarter of the rows: the same rows in every run."""
    chosen = np.random.default_rng(_SEED).permutation(len(ids)) < len(ids) // 4
    pd.DataFrame({str(ids.name): ids.to_numpy(), "set": np.where(chosen, "test", "train")}).to_parquet(path, index=False)
    return path


class Trial:
    """The digits' training rows, standardised over all offices as in the federation. A fifth is for choosing settings."""

    def __init__(self, tables: Mapping[str, Path], split: Path) -> None:
        self._terms = read_model(_DIGITS / "agreement.yaml", Terms)
        marks = pd.read_parquet(split).set_index("item")["set"]
        rows = {party: pd.read_parquet(path) for party, path in tables.items()}
        rows = {party: table[table["item"].map(marks) == "train"] for party, table in rows.items()}
        every = pd.concat(rows.values()).drop(columns=["item", "digit"])
        mean, scale = every.mean(), every.std(ddof=0)
        names, rng = list(every.columns[scale > 0]), np.random.default_rng(_SEED)
        self._columns, self._parts, choosing = len(names), {}, []
        for party, table in rows.items():
            x = ((table[names] - mean[names]) / scale[names]).clip(-3, 3).to_numpy()
            whole, kept = Sample(x, table["digit"].to_numpy(float)), rng.permutation(len(table)) >= len(table) // 5
            self._parts[party] = whole.part(kept)
            choosing.append(whole.part(~kept))
        self._choosing = Sample(
            np.concatenate([sample.x for sample in choosing]), np.concatenate([sample.y for sample in choosing])
        )

    def best(self, tried: Mapping[str, dict[str, Any]], work: Work, name: str) -> dict[str, Any]:
        """The settings with the best accuracy on the rows for choosing. Prints the accuracy of all settings that were tried."""
        accuracies = {which: self._accuracy(choices) for which, choices in tried.items()}
        for which, accuracy in accuracies.items():
            work.console.print(f"{name}, tried {which}: {accuracy:.4f} on the rows for choosing", highlight=False)
        return tried[max(accuracies, key=lambda which: accuracies[which])]

    def _accuracy(self, choices: Mapping[str, Any]) -> float:
        params = Averaged.model_validate(self._terms.choose(choices))
        network = self._terms.task.section(NetworkTerms)
        assert network is not None
        training = Training.of(network, params, self._columns)
        numbers = params.server_rate, params.norm_bound
        plan = Plan(training, params.strategy, *numbers, None, 0.1, None)
        state, nobody = start(plan), self._choosing.part(np.zeros(0, dtype=int))
        for number in range(1, params.rounds + 1):
            sums = sum(
                addends(plan, state["w"], part, nobody, training.orders(len(part), party, number))
                for party, part in self._parts.items()
            )
            state = {**moved(plan, state, checked(plan, np.asarray(sums)), list(self._parts), False), "round": number}
        outputs = training.net.outputs(state["w"], self._choosing.x)
        return float(np.mean(outputs.argmax(axis=1) == self._choosing.y))


CASES = (
    Case("heart4-newton", heart),
    Case("hospitals-trees", trees),
    Case("digits-alike", digits_alike),
    Case("digits-private", digits_private),
    skewed("digits-skewed-short", {"rounds": 10, "step": 0.02, "local_epochs": 1}, 0.02),
    skewed("digits-skewed-long", {"rounds": 40, "step": 0.1, "local_epochs": 3}, -1.0),  # here fedavg is about as good
)


def main(arguments: list[str]) -> int:
    """Run the cases. Returns exit status 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default="", help="run only the cases whose name contains this text")
    parser.add_argument("--out", type=Path, default=Path(".tombolo/acceptance-horizontal"))
    given = parser.parse_args(arguments)
    work = Work(given.data, given.out, Console())
    table = Table(title="Quality bars of the horizontal protocols", title_justify="left")
    for column in ("case", "figure", "value", "bar", "verdict"):
        table.add_column(column)
    results = []
    for case in (case for case in CASES if given.only in case.name):
        for finding in case.find(work):
            verdict = ("passed" if finding.passed else "FAILED") if finding.bar else "reported"
            table.add_row(case.name, finding.what, f"{finding.value:.4g}", finding.bar, verdict)
            results.append(
                {"case": case.name, "figure": finding.what, "value": float(finding.value), "bar": finding.bar, "verdict": verdict}
            )
    work.console.print(table)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "report.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0 if all(result["verdict"] != "FAILED" for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
