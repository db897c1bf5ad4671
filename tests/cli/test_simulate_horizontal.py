"""The example agreements of four hospitals, simulated: a process per party, beside the pooled model and the best hospital's."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer import Typer
from typer.testing import CliRunner

from tombolo.cli.demo.digits import write_digits
from tombolo.cli.demo.hospitals import write_hospitals
from tombolo.cli.simulate import simulate

EXAMPLES = Path(__file__).resolve().parents[2] / "federations"
app = Typer()
app.command()(simulate)


@pytest.mark.slow
@pytest.mark.parametrize("example", ["hospitals", "hospitals-trees"])
def test_four_hospitals(tmp_path, example):
    tables = write_hospitals(tmp_path / "tables")
    ids = pa.concat_tables([pq.read_table(path, columns=["patient"]) for path in tables.values()])
    sets = ["test" if int(one[2:]) % 4 == 0 else "train" for one in ids.column("patient").to_pylist()]
    pq.write_table(ids.append_column("set", pa.array(sets)), tmp_path / "split.parquet")
    data = [part for name, path in tables.items() for part in ("--data", f"{name}={path}")]
    result = CliRunner().invoke(
        app, [str(EXAMPLES / example), *data, "--split", str(tmp_path / "split.parquet"), "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    federated, pooled, best = (report["metrics"][name] for name in ("federated", "pooled", "best_client"))
    assert federated["auc"] == pytest.approx(pooled["auc"], abs=federated["auc_error"] + 1e-6)
    for name in ("accuracy", "logloss"):
        assert federated[name] == pytest.approx(pooled[name], abs=1e-6)
    assert federated["logloss"] < best["logloss"]
    assert set(report["bytes_sent"]) == {"north", "east", "south", "west", "registry"}
    assert report["rows"] == {"common": 569, "train": sets.count("train"), "test": sets.count("test")}
    assert len(report["settlement"]["signers"]) >= 4  # a quorum of five
    assert not report["settlement"]["unmatched"]
    assert "best client" in result.output
    for party in tables:
        card = next((tmp_path / "out" / "parties" / party).rglob("model-card.md"))
        assert "Every client holds the same model." in card.read_text()


@pytest.mark.slow
def test_five_offices_learn_digits(tmp_path):
    """A few rounds bring what no office reaches alone, and nearly what the pooled network does."""
    tables = write_digits(tmp_path / "tables")
    data = [part for name, path in tables.items() for part in ("--data", f"{name}={path}")]
    choices = ["--set", "rounds=6", "--set", "strategy=fedprox"]
    result = CliRunner().invoke(app, [str(EXAMPLES / "digits"), *data, *choices, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    federated, pooled, best = (report["metrics"][name]["accuracy"] for name in ("federated", "pooled", "best_client"))
    assert best < federated > pooled - 0.03
    assert report["rounds"] == len(report["loss"]) == 6
    assert not report["settlement"]["unmatched"]
    card = next((tmp_path / "out" / "parties" / "mill").rglob("model-card.md")).read_text()
    assert "a network over clients' rows by federated averaging" in card
    assert "| strategy | fedprox |" in card
