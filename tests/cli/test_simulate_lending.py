"""The example of a lending agreement, simulated from the command line: answers beside the truth, and no id in what is printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer import Typer
from typer.testing import CliRunner

from tombolo.cli.simulate import simulate

EXAMPLE = Path(__file__).parents[2] / "federations" / "lending"
app = Typer()
app.command()(simulate)


@pytest.fixture
def folder(tmp_path):
    """The example's terms with smaller lists; three lenders' tables and three questions."""
    terms = yaml.safe_load((EXAMPLE / "agreement.yaml").read_text())
    terms["task"]["query"]["padding"] = 16
    (tmp_path / "terms").mkdir()
    (tmp_path / "terms" / "agreement.yaml").write_text(yaml.safe_dump(terms, sort_keys=False))
    for number, lender in enumerate(("cards", "leasing", "savings")):
        rows = [f"only-{lender}-{at},{at % 3},{at * 700}\n" for at in range(20)] + [
            f"everybody,{number + 1},{1500 * (number + 1)}\n"
        ]
        (tmp_path / f"{lender}.csv").write_text("person,open_loans,exposure\n" + "".join(rows))
    asked = ("everybody", "only-leasing-5", "nobody")
    (tmp_path / "bank.csv").write_text("person,consent\n" + "".join(f"{one},receipt {one}\n" for one in asked))
    return tmp_path


def _simulate(folder):
    data = [word for file in sorted(folder.glob("*.csv")) for word in ("--data", f"{file.stem}={file}")]
    return CliRunner().invoke(app, [str(folder / "terms"), *data, "--out", str(folder / "out")])


def test_three_questions(folder):
    result = _simulate(folder)
    assert result.exit_code == 0, result.output
    report = json.loads((folder / "out" / "report.json").read_text())
    told = [(one["answer"]["loans"], one["answer"]["exposure"], one["answer"]["band"]) for one in report["queries"]]
    assert told == [(6, 9_000, "3 or more"), (2, 4_000, "1-2"), (0, 0, "0")]
    true = [(one["truth"]["loans"], one["truth"]["exposure"], one["truth"]["lenders"]) for one in report["queries"]]
    assert [one[:2] for one in true] == [one[:2] for one in told]
    assert [one[2] for one in true] == [3, 1, 0]
    assert "3 or more" in result.output
    logs = "".join(file.read_text() for file in folder.rglob("log.txt"))
    for text in (result.output, json.dumps(report), logs):
        assert "everybody" not in text and "only-leasing" not in text and "receipt" not in text


def test_questions_without_consent_are_named(folder):
    (folder / "bank.csv").write_text("person\nanybody\n")
    result = _simulate(folder)
    assert result.exit_code == 2 and "TMB-QUERY-010" in result.output
