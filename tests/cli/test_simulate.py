"""Simulation: a whole run from the command line, and every mistake of a user as one clear line."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml
from typer import Typer
from typer.testing import CliRunner

from tombolo.cli.demo.demos import MARKETING
from tombolo.cli.demo.marketing import write_tables
from tombolo.cli.simulate import simulate
from tombolo.cli.simulation.layout import Misuse, assign

app = Typer()
app.command()(simulate)

TERMS = {
    "schema": "tombolo.terms/2",
    "name": "trial",
    "parties": {"bank": {"role": "guest"}, "insurer": {"role": "host"}, "notary": {"role": "arbiter"}},
    "task": {
        "protocol": "logistic-arbiter",
        "label": {"column": "late"},
        "parameters": {"rounds": {"default": 3, "min": 1, "max": 5}},
        "waivers": ["expose-small-tables"],
    },
    "limits": {"exposure": 100},
    "alignment": {"id": [{"column": "customer"}], "minimum_intersection": 100},
    "scores": ["bank"],
    "quality": {"metric": "auc", "minimum": 0.55},
}


def _tables(folder, rows=420):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(rows, 5))
    late = (x @ [1.5, -1.0, 1.0, 2.0, 0.5] + rng.logistic(size=rows) > 0).astype(int)
    ids = np.array([f"c{index:04d}" for index in range(rows)])
    bank, insurer = rng.permutation(rows)[:410], rng.permutation(rows)[:400]
    pq.write_table(pa.table({"customer": ids[bank], "a": x[bank, 0], "b": x[bank, 1], "late": late[bank]}), folder / "bank.parquet")
    columns = {"customer": ids[insurer], **{name: x[insurer, 2 + index] for index, name in enumerate("cde")}}
    pyarrow.csv.write_csv(pa.table(columns), folder / "insurer.csv")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "terms").mkdir()
    (tmp_path / "terms" / "agreement.yaml").write_text(yaml.safe_dump(TERMS, sort_keys=False))
    _tables(tmp_path)
    return tmp_path


def _simulate(folder, *more, **changes):
    if changes:
        (folder / "terms" / "agreement.yaml").write_text(yaml.safe_dump({**TERMS, **changes}, sort_keys=False))
    data = ["--data", f"bank={folder / 'bank.parquet'}", "--data", f"host={folder / 'insurer.csv'}"]
    return CliRunner().invoke(app, [str(folder / "terms"), *data, "--out", str(folder / "out"), *more])


def test_a_whole_run_with_parquet_and_csv(folder):
    result = _simulate(folder, "--set", "rounds=2")
    assert result.exit_code == 0, result.output
    report = json.loads((folder / "out" / "report.json").read_text())
    assert report["rounds"] == 2
    assert [sum(f"round {number}, loss" in line for line in result.output.splitlines()) for number in (1, 2)] == [1, 1]
    assert report["rows"]["common"] == report["rows"]["train"] + report["rows"]["test"] > 300
    federated, alone = report["metrics"]["federated"]["auc"], report["metrics"]["guest_only"]["auc"]
    assert federated > alone
    assert report["metrics"]["pooled"]["auc"] > alone
    assert set(report["bytes_sent"]) == {"bank", "insurer", "notary"} and min(report["bytes_sent"].values()) > 10_000
    for text in ("federated", "guest alone", "seconds, train", "bytes sent, notary"):
        assert text in result.output
    for party in ("bank", "insurer", "notary"):
        assert list((folder / "out" / "parties" / party).rglob("model-card.md"))
    again = _simulate(folder, "--set", "rounds=9")
    assert again.exit_code == 1
    assert "rounds must lie between 1 and 5" in again.output


def test_a_whole_run_on_dealt_shares(folder):
    """The same terms with the other engine, signed for; its model is as good."""
    waivers = ["expose-features-to-colluding-arbiter", "expose-small-tables"]
    parameters = {"rounds": {"default": 3, "min": 1, "max": 20}}
    task = {**TERMS["task"], "parameters": parameters, "engine": "dealer"}
    result = _simulate(folder, task=task)
    assert result.exit_code == 1 and f"sign the waiver {waivers[0]}" in result.output
    result = _simulate(folder, "--set", "rounds=15", task={**task, "waivers": waivers})
    assert result.exit_code == 0, result.output
    metrics = json.loads((folder / "out" / "report.json").read_text())["metrics"]
    assert metrics["federated"]["auc"] == pytest.approx(metrics["pooled"]["auc"], abs=1e-3)


@pytest.mark.parametrize(
    ("spoil", "code", "party"),
    [
        (lambda table: table.set_column(0, "customer", pa.array(["same"] * len(table))), "TMB-", "bank"),
        (lambda table: table.set_column(1, "a", pa.array([float("inf")] * len(table))), "TMB-", "bank"),
        (lambda table: table.drop(["late"]), "TMB-", "bank"),
        (lambda table: table.slice(0, 20), "TMB-", "bank"),
    ],
    ids=["duplicates", "infinite", "no label", "too few"],
)
def test_a_bad_table_ends_as_one_line(folder, spoil, code, party):
    pq.write_table(spoil(pq.read_table(folder / "bank.parquet")), folder / "bank.parquet")
    result = _simulate(folder)
    assert result.exit_code == 1
    errors = [line for line in result.output.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and code in errors[0] and "TMB-EXCH-004" not in errors[0] and "unexpected" not in errors[0], errors
    assert not (folder / "out" / "report.json").exists()


@pytest.mark.slow
def test_the_marketing_agreement_on_a_sample_of_users(tmp_path):
    tables = write_tables(tmp_path / "tables", users=1_900, new_users=100)
    data = [word for party, own in tables.items() for word in ("--data", f"{party}={own.table}")]
    terms = yaml.safe_load((MARKETING.terms / "agreement.yaml").read_text())
    (tmp_path / "agreement.yaml").write_text(yaml.safe_dump({**terms, "quality": None}, sort_keys=False))
    arguments = [str(tmp_path / "agreement.yaml"), *data, "--out", str(tmp_path / "out"), "--set", "rounds=5", "--set", "depth=2"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["protocol"] == "secureboost" and report["rounds"] == 5
    metrics, gains, lift = report["metrics"], report["gains"], report["lift"]
    assert report["margins_off_by"] < 1e-4
    assert metrics["federated"]["auc"] > metrics["guest_only"]["auc"] - 0.02  # a few hundred held-out users, drawn anew each time
    assert metrics["federated"]["auc"] == pytest.approx(metrics["pooled"]["auc"], abs=5e-3)
    for model in ("federated", "pooled", "guest_only"):
        assert len(gains[model]) == len(gains["shares"]) and gains[model][-1] == pytest.approx(1)
        assert lift[model] == pytest.approx(gains[model][gains["shares"].index(0.1)] / 0.1)


def test_a_missed_quality_gate_fails_the_run(folder):
    result = _simulate(folder, "--set", "rounds=1", quality={"metric": "auc", "minimum": 0.999})
    assert result.exit_code == 1
    assert "TMB-MODEL-002" in result.output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--data", "bank=x.parquet"], "names bank twice"),
        (["--data", "nobody=x.parquet"], "nobody does not stand for one data party; they are bank, insurer"),
        (["--split", "nowhere.csv"], "the table nowhere.csv does not exist"),
        (["--set", "rounds"], "needs NAME=VALUE"),
    ],
)
def test_misuse_has_exit_status_two(folder, arguments, text):
    result = _simulate(folder, *arguments)
    assert result.exit_code == 2
    assert text in " ".join(result.output.replace("│", " ").split())


def test_a_folder_with_other_files_is_left_alone(folder):
    (folder / "out").mkdir()
    (folder / "out" / "thesis.tex").write_text("precious")
    result = _simulate(folder)
    assert result.exit_code == 2
    assert (folder / "out" / "thesis.tex").read_text() == "precious"


def test_bad_terms_name_the_line(folder):
    result = _simulate(folder, sores=["bank"])
    assert result.exit_code == 1
    assert "sores" in result.output and "did you mean scores" in result.output


def test_a_role_stands_for_its_only_party(tmp_path):
    roles = {"bank": "guest", "insurer": "host", "shop": "host", "notary": "arbiter"}
    given = {"guest": tmp_path / "a", "insurer": tmp_path / "b", "shop": tmp_path / "c"}
    assert assign(roles, given) == {"bank": tmp_path / "a", "insurer": tmp_path / "b", "shop": tmp_path / "c"}
    with pytest.raises(Misuse, match="host does not stand for one data party"):
        assign(roles, {"host": tmp_path / "b"})
    with pytest.raises(Misuse, match="no table for bank, shop"):
        assign(roles, {"insurer": tmp_path / "b"})
