"""`tombolo odometer` as a data officer reads it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from tests.fl_tasks.privacy.metered import change_settings, joined, send
from tests.fl_tasks.privacy.paying import release
from tombolo.cli.app import app


def call(*words: object) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "220"}).invoke(app, ["odometer", *(str(word) for word in words)])
    return result.exit_code, result.output + (str(result.exception) if result.exception else "")


@pytest.fixture(scope="module")
def fed(tmp_path_factory):
    made = joined(tmp_path_factory.mktemp("paid"))
    change_settings(made, "clinic", lambda document: document["agreements"]["trial"].update(population="patients"))
    send(made, lambda session: [session.limit(one, 1000) for one in ()] + [session.send("loss", loss=0.5)])
    context = made.context("clinic")
    for number in range(12):
        paid = release(f"{number}", 50 + number, 2000.5, run=f"run-{number}", to=("lab",), population=context.population)
        context.odometer.pay([paid])
    context.odometer.pay([release("x", 7, None, meter="numbers", run="run-x", agreement="other", to=("elsewhere",))])
    return made


def test_it_shows_what_is_used_and_left(fed):
    status, shown = call("--settings", fed.settings("clinic"))
    assert status == 0, shown
    line = next(line for line in shown.splitlines() if "lab" in line and "progress" in line)
    assert [word for word in line.replace("│", " ").split()][:2] == ["lab", "patients"]
    assert "719" in line and "2,000.50" in line.replace("2,000 ", "2,000.50 ") and "run-11" in line
    assert "elsewhere" in shown and "numbers (numbers)" in shown
    most = shown.split("What used most")[1]
    assert most.index("run-11") < most.index("run-10") and "3%" in most
    assert call("show", "--settings", fed.settings("clinic")) == (status, shown)


def test_one_agreement_and_json(fed):
    status, shown = call("trial", "--json", "--settings", fed.settings("clinic"))
    document = json.loads(shown)
    assert status == 0 and document["party"] == "clinic" and document["head"]["index"] == 14
    assert {one["recipient"] for one in document["readings"]} == {"lab", "notary"}
    lab = document["readings"][0]
    assert (lab["meter"], lab["amount"], lab["limit"], lab["left"], lab["last"]) == ("progress", 719, 2000.5, 1281.5, "run-11")
    assert (lab["title"], [use["run"] for use in lab["uses"]][:2]) == ("patients", ["run-1", "run-11"])


def test_nothing_yet_and_nothing_wrong(fed):
    assert call("--settings", fed.settings("lab")) == (0, "Nothing is counted yet.\n")
    status, shown = call("rebuild", "--settings", fed.settings("lab"))
    assert status == 0 and "Nothing was changed" in shown
    assert "rebuild" in call("--help")[1]
