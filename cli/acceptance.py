"""`tombolo acceptance DATA`: tests every protocol against its quality bar, on real tables and with full key size.

Each case runs all parties as processes (``tombolo simulate``) with 2048-bit keys. It compares the result with the pooled model of
the same rows. The verdicts are printed as one table. DATA holds ``<name>__<party>.parquet`` tables, joined by ``id``, and
``<name>__split.csv.gz`` (id, train) for abalone and default_credit. The data sets diabetes and WDBC come with scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tombolo.storage.roles import ARBITER

_OUT = Path(".tombolo/acceptance")
_KEY_BITS = 2048
_CLIP = 5.0


@dataclass(frozen=True)
class Tables:
    """One data set, split over parties: each party's file (the guest first), an optional split file, the categorical columns."""

    files: Mapping[str, Path]
    label: str
    split: Path | None = None
    categorical: frozenset[str] = frozenset()
    leverage: float = 0.1  # the maximum leverage in the terms; small wide tables need more than the default
    rows: Mapping[str, int] = field(default_factory=dict)  # the row counts that alignment must find: common, train, test
    exposure: float = 1.0  # of the terms' limits; small tables need more than the default


@dataclass(frozen=True)
class Case:
    """One protocol on one data set, with the quality bar that it must reach. ``bar`` is None if the figure is only reported.

    ``margins`` is a second bar: the largest allowed difference between a held-out row's margin and the pooled model's margin.
    """

    name: str
    protocol: str
    tables: Callable[[Path, Path], Tables]
    parameters: Mapping[str, Any]
    bar: float | None
    task: Mapping[str, Any] = field(default_factory=dict)  # added to the terms' task
    limits: Mapping[str, Any] = field(default_factory=dict)  # added to the terms' limits
    margins: float | None = None


def acceptance(
    data: Annotated[Path, typer.Argument(help="Folder with the tables.")],
    only: Annotated[str, typer.Option(help="Run only the cases whose name contains this text.")] = "",
    out: Annotated[Path, typer.Option(help="Folder for stores, logs and results.")] = _OUT,
) -> None:
    """Test every protocol against its quality bar at 2048 bits. The exit status is 1 if a bar is missed."""
    import json

    from rich.console import Console

    if not data.is_dir():
        raise typer.BadParameter(f"there is no folder {data}")
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    results = []
    for case in [case for case in CASES if only in case.name]:
        console.rule(case.name)
        results.append(_run(case, data, out, console))
        out.mkdir(parents=True, exist_ok=True)
        (out / "report.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    _show(results, console)
    if not all(result["passed"] for result in results):
        raise typer.Exit(1)


def _run(case: Case, data: Path, out: Path, console: Any) -> dict[str, Any]:
    """Run one case. An error becomes a result too, so that the other cases still run."""
    from tombolo.cli.simulate import simulated
    from tombolo.storage.errors import CodedError

    folder = out / case.name
    try:
        tables = case.tables(data, out / "tables")
        agreement = _write_agreement(case, tables, out / "agreements")
        report = simulated(agreement, dict(tables.files), {}, tables.split, folder, console)
    except (Exception, CodedError) as error:
        text = str(error) or type(error).__name__
        console.print(f"failed: {text}", style="red", highlight=False, markup=False)
        return {"case": case.name, "bar": _bar(case), "reached": text, "passed": False, "seconds": None}
    metric, gap = _gap(case, report["metrics"])
    off = report.get("margins_off_by")
    misaligned = {name: report["rows"][name] for name, wanted in tables.rows.items() if report["rows"][name] != wanted}
    passed = (
        not misaligned
        and (case.bar is None or gap < case.bar)
        and (case.margins is None or (off is not None and off < case.margins))
    )
    reached = ", ".join(
        [f"{metric} {gap:.2e}", *([] if off is None else [f"margins {off:.1e}"]), *([f"rows {misaligned}"] if misaligned else [])]
    )
    return {
        "case": case.name,
        "bar": _bar(case),
        "reached": reached,
        "passed": passed,
        "seconds": report["seconds"]["total"],
        "rounds": report["rounds"],
        "rows": report["rows"],
        "metrics": report["metrics"],
    }


def _gap(case: Case, metrics: Mapping[str, Mapping[str, float]]) -> tuple[str, float]:
    if "rmse" in metrics["federated"]:
        federated, pooled = metrics["federated"]["rmse"], metrics["pooled"]["rmse"]
        return "relative RMSE", abs(federated - pooled) / pooled
    return "AUC", abs(metrics["federated"]["auc"] - metrics["pooled"]["auc"])


def _bar(case: Case) -> str:
    if case.bar is None:
        return "reported"
    number = case.protocol == "linear" or case.task.get("boosting") == _SQUARED["boosting"]
    margins = "" if case.margins is None else f", margins < {case.margins:g}"
    return f"{'relative RMSE' if number else 'AUC'} < {case.bar:g}{margins}"


def _show(results: list[dict[str, Any]], console: Any) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"Quality bars at {_KEY_BITS} bits: differences from the pooled model", title_justify="left")
    for column in ("case", "rows", "rounds", "seconds", "bar", "reached", "verdict"):
        table.add_column(column, overflow="fold", no_wrap=column in ("case", "verdict"))
    for result in results:
        seconds = "" if result["seconds"] is None else f"{result['seconds']:.0f}"
        rows = f"{result['rows']['train']:,}" if "rows" in result else ""
        verdict = "[green]passed[/]" if result["passed"] else "[red]FAILED[/]"
        if result["passed"] and result["bar"] == "reported":
            verdict = "reported"
        table.add_row(
            result["case"],
            rows,
            str(result.get("rounds", "")),
            seconds,
            result["bar"],
            escape(result["reached"]),
            verdict,
        )
    console.print(table)


def _write_agreement(case: Case, tables: Tables, folder: Path) -> Path:
    """Terms of one case, with a notary where the protocol or the engine needs an arbiter."""
    import pyarrow.parquet as pq
    import yaml

    from tombolo.agreements.protocol import protocol_named
    from tombolo.agreements.task import EXPOSURE_WAIVER

    roles = {party: {"role": "guest" if index == 0 else "host"} for index, party in enumerate(tables.files)}
    protocol = protocol_named(case.protocol).protocol
    engine, arbiter = protocol.engine(case.task.get("engine", protocol.default_engine)), protocol.role(ARBITER)
    if engine.helper == ARBITER or (arbiter is not None and arbiter.least > 0):
        roles["notary"] = {"role": ARBITER}
    columns = {}
    for party, file in tables.files.items():
        names = [name for name in pq.read_schema(file).names if name not in ("id", tables.label)]
        kinds = {
            name: {"kind": "categorical"} if name in tables.categorical else {"kind": "numeric", "clip": _CLIP} for name in names
        }
        columns[party] = {"columns": kinds, "missing": "level" if "bins" in engine.parameters.model_fields else "reject"}
    terms = {
        "schema": "tombolo.terms/2",
        "name": case.name,
        "parties": roles,
        "task": {
            "protocol": case.protocol,
            "label": {"column": tables.label},
            "parameters": dict(case.parameters),
            **case.task,
            "waivers": [*case.task.get("waivers", []), *([EXPOSURE_WAIVER] if tables.exposure > 1 else [])],
        },
        "alignment": {"id": [{"column": "id", "canonical": "text"}], "minimum_intersection": 100},
        "tables": columns,
        "limits": {"maximum_leverage": tables.leverage, "exposure": tables.exposure, **case.limits},
        "scores": [next(iter(tables.files))],
    }
    file = folder / case.name / "agreement.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(terms, sort_keys=False), encoding="utf-8")
    return file.parent


def _from_folder(name: str, parties: list[str], categorical: set[str], rows: Mapping[str, int]) -> Callable[[Path, Path], Tables]:
    def tables(data: Path, work: Path) -> Tables:
        import pandas as pd

        work.mkdir(parents=True, exist_ok=True)
        files = {party: data / f"{name}__{party}.parquet" for party in parties}
        marks = pd.read_csv(data / f"{name}__split.csv.gz", dtype={"id": str})
        marks["set"] = marks["train"].map({True: "train", False: "test"})
        split = work / f"{name}-split.csv"
        marks[["id", "set"]].to_csv(split, index=False)
        return Tables(files, "y", split, frozenset(categorical), 0.2, rows)

    return tables


def _from_scikit_learn(loader: str, shares: list[int]) -> Callable[[Path, Path], Tables]:
    """A data set of scikit-learn, split by columns: each party gets the next ``share`` columns, in a row order of its own.

    A quarter of the rows is held out: the same rows in every run.
    """

    def tables(data: Path, work: Path) -> Tables:
        import numpy as np
        import pandas as pd
        import sklearn.datasets

        work.mkdir(parents=True, exist_ok=True)
        bunch = getattr(sklearn.datasets, loader)(as_frame=True)
        frame: Any = bunch.data
        frame.columns = [str(name).replace(" ", "_") for name in frame.columns]
        ids = pd.Series([f"P{index:05d}" for index in range(len(frame))], name="id")
        rng, files, start = np.random.default_rng(7), {}, 0
        for index, share in enumerate(shares):
            party = "guest" if index == 0 else f"host{index}"
            own = pd.concat([ids, frame.iloc[:, start : start + share]], axis=1)
            if index == 0:
                own["y"] = bunch.target.astype(float) if loader == "load_diabetes" else bunch.target.astype(int)
            files[party] = work / f"{loader}-{len(shares)}-{party}.parquet"
            own.iloc[rng.permutation(len(own))].to_parquet(files[party], index=False)
            start += share
        sets = np.where(rng.permutation(len(frame)) < len(frame) // 4, "test", "train")
        split = work / f"{loader}-{len(shares)}-split.csv"
        pd.DataFrame({"id": ids, "set": sets}).to_csv(split, index=False)
        return Tables(files, "y", split, leverage=0.7, exposure=16)

    return tables


def _with_gaps(source: Callable[[Path, Path], Tables], share: float) -> Callable[[Path, Path], Tables]:
    """The same tables with a share of the feature values removed: the same values in every run."""

    def tables(data: Path, work: Path) -> Tables:
        import numpy as np
        import pandas as pd

        whole, rng, files = source(data, work), np.random.default_rng(1), {}
        for party, file in whole.files.items():
            frame = pd.read_parquet(file)
            names = [name for name in frame.columns if name not in ("id", whole.label)]
            for name in names:
                frame[name] = frame[name].mask(rng.random(len(frame)) < share)
            files[party] = work / f"{file.stem}-gaps.parquet"
            frame.to_parquet(files[party], index=False)
        return replace(whole, files=files)

    return tables


def _part_of(source: Callable[[Path, Path], Tables], rows: int) -> Callable[[Path, Path], Tables]:
    """The same tables with only some of the guest's rows: the same rows in every run."""

    def tables(data: Path, work: Path) -> Tables:
        import pandas as pd

        whole = source(data, work)
        guest, *hosts = whole.files.items()
        file = work / f"{guest[1].stem}-{rows}.parquet"
        pd.read_parquet(guest[1]).sample(rows, random_state=7).to_parquet(file, index=False)
        return replace(whole, files={guest[0]: file, **dict(hosts)}, rows={}, leverage=0.7)

    return tables


_ABALONE = _from_folder("abalone", ["guest", "host1"], {"sex"}, {"common": 3402, "train": 2609, "test": 793})
_CREDIT = _from_folder(
    "default_credit",
    ["guest", "host1", "host2"],
    {"SEX", "EDUCATION", "MARRIAGE"},
    {"common": 24_069, "train": 18_185, "test": 5_884},
)
_CREDIT_PART = _part_of(_CREDIT, 4000)
_DIABETES = _from_scikit_learn("load_diabetes", [4, 6])
_WDBC = _from_scikit_learn("load_breast_cancer", [4, 13, 13])
_WDBC_PAIR = _from_scikit_learn("load_breast_cancer", [20, 10])
_BOOSTED = {"rounds": 50, "depth": 4, "bins": 32}
_DEALT = {"engine": "dealer", "waivers": ["expose-features-to-colluding-arbiter"]}
_NETWORK = {"network": {"bottom": 3, "hidden": [2]}}
_FEW_ROWS = {
    "minimum_rows_per_weight": 10
}  # at this limit a host's gradients reveal something about labels: docs/protocols/vertical-mlp.md
_SQUARED = {"boosting": {"objective": "squared"}}
_XGBOOSTS_LEAVES = {
    "minimum_leaf_rows": 4
}  # h is at most 1/4 per row, so 4 rows mean XGBoost's default min_child_weight of 1 instead of 5

CASES = (
    Case("linear-diabetes", "linear", _DIABETES, {"rounds": 60, "tolerance": 1e-9}, 1e-6),
    Case("linear-abalone", "linear", _ABALONE, {"rounds": 60, "tolerance": 1e-9}, 1e-6),
    Case("linear-diabetes-dealer", "linear", _DIABETES, {"rounds": 60, "tolerance": 1e-9}, 1e-6, _DEALT),
    Case("linear-abalone-dealer", "linear", _ABALONE, {"rounds": 60, "tolerance": 1e-9}, 1e-6, _DEALT),
    Case("logistic-guest-wdbc", "logistic-guest", _WDBC, {"rounds": 25}, 1e-3),
    Case("logistic-arbiter-wdbc", "logistic-arbiter", _WDBC, {"rounds": 40}, 1e-3),
    Case("logistic-guest-default-credit", "logistic-guest", _CREDIT, {"rounds": 10}, 1e-3),
    Case("logistic-arbiter-default-credit", "logistic-arbiter", _CREDIT, {"rounds": 12}, 1e-3),
    Case("logistic-arbiter-wdbc-dealer", "logistic-arbiter", _WDBC, {"rounds": 40}, 1e-3, _DEALT),
    Case("logistic-arbiter-default-credit-dealer", "logistic-arbiter", _CREDIT, {"rounds": 12}, 1e-3, _DEALT),
    Case("logistic-taylor-wdbc", "logistic-taylor", _WDBC, {"rounds": 40}, None),
    Case("logistic-taylor-default-credit", "logistic-taylor", _CREDIT, {"rounds": 12}, None),
    Case("network-wdbc", "vertical-mlp", _WDBC_PAIR, {"rounds": 25, "step": 0.5}, 2e-3, _NETWORK, _FEW_ROWS),
    Case("network-wdbc-dealer", "vertical-mlp", _WDBC_PAIR, {"rounds": 25, "step": 0.5}, 2e-3, {**_NETWORK, **_DEALT}, _FEW_ROWS),
    Case(
        "network-default-credit",
        "vertical-mlp",
        _CREDIT_PART,
        {"rounds": 8, "batch_rows": 1000, "step": 0.5},
        2e-3,
        _NETWORK,
        _FEW_ROWS,
    ),
    Case(
        "network-default-credit-dealer",
        "vertical-mlp",
        _CREDIT_PART,
        {"rounds": 8, "batch_rows": 1000, "step": 0.5},
        2e-3,
        {**_NETWORK, **_DEALT},
        _FEW_ROWS,
    ),
    Case("boosted-wdbc", "secureboost", _WDBC, _BOOSTED, 5e-4, margins=1e-4),
    Case("boosted-wdbc-gaps", "secureboost", _with_gaps(_WDBC, 0.1), _BOOSTED, 1e-3),
    Case("boosted-diabetes", "secureboost", _DIABETES, _BOOSTED, 1e-6, _SQUARED),
    Case("boosted-abalone", "secureboost", _ABALONE, _BOOSTED, 1e-6, _SQUARED),
    Case("boosted-default-credit", "secureboost", _CREDIT, _BOOSTED, 5e-4, limits=_XGBOOSTS_LEAVES),
    Case("boosted-default-credit-gaps", "secureboost", _with_gaps(_CREDIT, 0.1), _BOOSTED, 1e-3),
)
