"""The DAG file as every party's Airflow parses it: which DAGs, which tasks, which form; quick, and without heavy imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tombolo.cli.demo.demos import LENDING
from tombolo.cli.demo.digits import write_digits
from tombolo.cli.demo.federation import Federation, lay_out
from tombolo.cli.demo.hospitals import write_hospitals
from tombolo.cli.demo.instance import REPOSITORY, Instance
from tombolo.cli.simulation import layout as simulation
from tombolo.cli.simulation.layout import Layout

PARSE = """
import json, sys, time
import airflow.sdk
from airflow.sdk import DAG
began = time.process_time()
import importlib.util
spec = importlib.util.spec_from_file_location("federation", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
seconds = time.process_time() - began
heavy = ["numpy", "pyarrow", "pandas", "sklearn", "great_expectations", "gmpy2", "phe", "matplotlib"]
dags = {
    dag.dag_id: {
        "tasks": {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks},
        "rules": {task.task_id: task.trigger_rule.value for task in dag.tasks},
        "form": {
            name: {**param.schema, "description": param.description}
            for name, param in ((n, dag.params.get_param(n)) for n in dag.params)
        },
        "schedule": str(dag.schedule),
        "doc": dag.doc_md,
    }
    for dag in vars(module).values() if isinstance(dag, DAG)
}
print(json.dumps({"dags": dags, "heavy": [name for name in heavy if name in sys.modules], "seconds": seconds}))
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    """The demo's federation with a schedule and a person who is asked; the clinic has a broken agreement beside it."""
    federation = lay_out(tmp_path_factory.mktemp("dags") / "demo", {"schedule": "0 3 * * 1", "joining": "approval"})
    folder = federation.home("clinic") / "federations"
    terms = yaml.safe_load((folder / "wdbc" / "agreement.yaml").read_text())
    (folder / "broken").mkdir()
    (folder / "broken" / "agreement.yaml").write_text(yaml.safe_dump({**terms, "name": "broken", "leg": 0}))
    return federation


@pytest.fixture(scope="module")
def clinic(demo: Federation, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return parse(demo, "clinic", tmp_path_factory.mktemp("clinic"))


def parse(federation: Federation | Layout, party: str, home: Path) -> dict[str, Any]:
    environment = {
        **Instance.shared_environment(),
        "AIRFLOW_HOME": str(home),
        "TOMBOLO_PARTY": str(federation.settings[party]),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    command = [sys.executable, "-c", PARSE, str(REPOSITORY / "dags" / "federation.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=home)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_parsing_is_quick_and_imports_nothing_heavy(clinic: dict[str, Any]) -> None:
    assert clinic["heavy"] == []
    assert clinic["seconds"] < 5


def test_guest_begins_runs_with_a_form(clinic: dict[str, Any]) -> None:
    assert set(clinic["dags"]) == {"wdbc_train", "wdbc_predict", "wdbc_monitor", "broken_unusable", "tombolo_retention"}
    training = clinic["dags"]["wdbc_train"]
    assert training["tasks"]["invite"] == [] and training["tasks"]["join"] == ["invite"]
    assert training["tasks"]["train.rounds_011_020"] == ["train.rounds_001_010"]
    assert training["rules"]["abort"] == "one_failed"
    assert set(training["tasks"]["abort"]) == set(training["tasks"]) - {"abort", "settle"}
    assert training["tasks"]["settle"] == ["publish"]
    assert "0 3 * * 1" in training["schedule"]
    rounds = training["form"]["rounds"]
    assert (rounds["type"], rounds["minimum"], rounds["maximum"], rounds["title"]) == ("integer", 5, 60, "Rounds")
    assert rounds["description"]
    assert "key_bits" not in training["form"]


def test_others_wait_for_invitations_and_ask_a_person(demo: Federation, tmp_path: Path) -> None:
    dags = parse(demo, "laboratory", tmp_path)["dags"]
    assert set(dags) == {"wdbc_train", "wdbc_predict", "tombolo_inbox", "tombolo_retention"}
    assert dags["wdbc_train"]["tasks"]["join"] == ["approve"]
    assert dags["wdbc_train"]["tasks"]["approve"] == ["invitation"]
    assert dags["wdbc_train"]["form"] == {}
    assert "0 3" not in dags["wdbc_train"]["schedule"]
    legs = [task for task in dags["wdbc_train"]["tasks"] if task.startswith("train.")]
    assert len(legs) == 6


def test_a_bad_agreement_is_shown_and_leaves_the_others_alone(clinic: dict[str, Any]) -> None:
    text = clinic["dags"]["broken_unusable"]["doc"]
    assert "TMB-TERMS-001" in text and "leg" in text


def test_the_aggregator_begins_horizontal_runs(tmp_path: Path) -> None:
    laid = simulation.lay_out(
        REPOSITORY / "federations" / "hospitals", write_hospitals(tmp_path / "tables"), None, tmp_path / "laid"
    )
    parsed = {}
    for party in ("registry", "north"):
        (tmp_path / party).mkdir()
        parsed[party] = parse(laid, party, tmp_path / party)["dags"]
    assert parsed["registry"]["hospitals_train"]["tasks"]["join"] == ["invite"]
    assert "rounds" in parsed["registry"]["hospitals_train"]["form"]
    assert "hospitals_monitor" not in parsed["registry"] and "tombolo_inbox" not in parsed["registry"]
    assert parsed["north"]["hospitals_train"]["tasks"]["join"] == []
    assert {"tombolo_inbox", "hospitals_monitor"} < set(parsed["north"])
    assert parsed["north"]["hospitals_train"]["form"] == {}
    assert set(parsed["north"]["hospitals_score"]["form"]) == {"model", "as_of"} and "hospitals_score" not in parsed["registry"]
    for dags in parsed.values():
        assert [task for task in dags["hospitals_train"]["tasks"] if task.startswith("train.")] == [
            f"train.rounds_{first:03d}_{first + 2:03d}" for first in range(1, 24, 3)
        ]


def test_where_a_run_may_go_on_without_a_client_its_refusal_fails_nothing(tmp_path: Path) -> None:
    terms = yaml.safe_load((REPOSITORY / "federations" / "hospitals" / "agreement.yaml").read_text())
    terms["task"]["horizontal"]["absence"], terms["joining"] = "skip", "approval"
    source = tmp_path / "hospitals" / "agreement.yaml"
    source.parent.mkdir()
    source.write_text(yaml.safe_dump(terms, sort_keys=False))
    laid = simulation.lay_out(source, write_hospitals(tmp_path / "tables"), None, tmp_path / "laid")
    (tmp_path / "north").mkdir()
    dags = parse(laid, "north", tmp_path / "north")["dags"]
    for dag, before in (("hospitals_train", "publish"), ("hospitals_predict", "predict")):
        assert dags[dag]["tasks"]["join"] == ["approve"]
        assert dags[dag]["tasks"]["settle"] == [before]
        assert dags[dag]["rules"]["settle"] == "none_failed"
        assert dags[dag]["rules"]["join"] == "all_success"


def test_a_word_is_picked_from_a_list(tmp_path: Path) -> None:
    laid = simulation.lay_out(REPOSITORY / "federations" / "digits", write_digits(tmp_path / "tables"), None, tmp_path / "laid")
    (tmp_path / "post").mkdir()
    form = parse(laid, "post", tmp_path / "post")["dags"]["digits_train"]["form"]
    assert (form["strategy"]["type"], form["strategy"]["enum"]) == ("string", ["fedavg", "fedprox", "fedadam"])
    assert form["local_epochs"]["type"] == "integer" and form["step"]["type"] == "number"
    assert "batch_rows" not in form


def test_a_lending_agreement_has_an_index_and_queries_and_no_id_in_a_form(tmp_path: Path) -> None:
    federation = lay_out(tmp_path / "demo", {"schedule": "@weekly"}, demo=LENDING)
    parsed = {}
    for party in ("bank", "cards", "register"):
        (tmp_path / party).mkdir()
        parsed[party] = parse(federation, party, tmp_path / party)
        assert parsed[party]["heavy"] == []
    bank, cards = parsed["bank"]["dags"], parsed["cards"]["dags"]
    assert set(bank) == {"lending_index", "lending_query", "tombolo_retention"}
    assert set(cards) == set(bank) | {"tombolo_inbox"} == set(parsed["register"]["dags"])
    assert bank["lending_index"]["schedule"] == "@weekly" != cards["lending_index"]["schedule"]
    assert bank["lending_index"]["tasks"]["settle"] == ["index"] and bank["lending_query"]["tasks"]["query"] == ["join"]
    assert set(bank["lending_index"]["form"]) == {"update", "as_of"}
    (questions,) = bank["lending_query"]["form"].values()
    assert questions["type"] == "string" and questions["pattern"] == "^[0-9a-f]{16}$"
    assert cards["lending_query"]["form"] == {}
