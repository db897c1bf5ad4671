"""The DAG file as every party's Airflow parses it: which DAGs, which tasks, which form; quick, and without heavy imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cli.demo.federation import Federation, lay_out
from cli.demo.instance import REPOSITORY, Instance

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
        "rules": {task.task_id: str(task.trigger_rule) for task in dag.tasks},
        "form": {name: param.schema for name, param in ((n, dag.params.get_param(n)) for n in dag.params)},
        "schedule": str(dag.schedule),
        "doc": dag.doc_md,
    }
    for dag in vars(module).values() if isinstance(dag, DAG)
}
print(json.dumps({"dags": dags, "heavy": [name for name in heavy if name in sys.modules], "seconds": seconds}))
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    return lay_out(tmp_path_factory.mktemp("dags") / "demo", {"schedule": "0 3 * * 1", "joining": "approval"})


def parse(federation: Federation, party: str, home: Path) -> dict:
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


def test_guest_begins_runs_with_a_form(demo: Federation, tmp_path: Path) -> None:
    parsed = parse(demo, "clinic", tmp_path)
    assert parsed["heavy"] == []
    assert parsed["seconds"] < 5
    assert set(parsed["dags"]) == {"wdbc_train", "wdbc_predict", "wdbc_monitor"}
    training = parsed["dags"]["wdbc_train"]
    assert training["tasks"]["invite"] == [] and training["tasks"]["join"] == ["invite"]
    assert training["tasks"]["train.rounds_011_020"] == ["train.rounds_001_010"]
    assert training["rules"]["abort"] == "one_failed"
    assert set(training["tasks"]["abort"]) == set(training["tasks"]) - {"abort"}
    assert "0 3 * * 1" in training["schedule"]
    rounds = training["form"]["rounds"]
    assert (rounds["type"], rounds["minimum"], rounds["maximum"], rounds["title"]) == ("integer", 5, 60, "Rounds")
    assert rounds["description"]
    assert "key_bits" not in training["form"]


@pytest.mark.parametrize("party", ["laboratory", "notary"])
def test_others_wait_for_invitations_and_ask_a_person(demo: Federation, tmp_path: Path, party: str) -> None:
    dags = parse(demo, party, tmp_path)["dags"]
    assert set(dags) == {"wdbc_train", "wdbc_predict", "tombolo_inbox"}
    assert dags["wdbc_train"]["tasks"]["join"] == ["approve"]
    assert dags["wdbc_train"]["tasks"]["approve"] == ["invitation"]
    assert dags["wdbc_train"]["form"] == {}
    assert "0 3" not in dags["wdbc_train"]["schedule"]
    legs = [task for task in dags["wdbc_train"]["tasks"] if task.startswith("train.")]
    assert len(legs) == 6


def test_a_bad_agreement_is_shown_and_leaves_the_others_alone(demo: Federation, tmp_path: Path) -> None:
    folder = demo.home("clinic") / "federations" / "broken"
    folder.mkdir()
    terms = yaml.safe_load((folder.parent / "wdbc" / "agreement.yaml").read_text())
    (folder / "agreement.yaml").write_text(yaml.safe_dump({**terms, "name": "broken", "leg": 0}))
    try:
        dags = parse(demo, "clinic", tmp_path)["dags"]
    finally:
        (folder / "agreement.yaml").unlink()
        folder.rmdir()
    assert "wdbc_train" in dags
    assert "TMB-TERMS-001" in dags["broken_unusable"]["doc"] and "leg" in dags["broken_unusable"]["doc"]


def test_no_operator_module_imports_anything_heavy_at_its_top() -> None:
    code = (
        "import sys, pkgutil, importlib, operators\n"
        "[importlib.import_module(f'operators.{m.name}') for m in pkgutil.iter_modules(operators.__path__)]\n"
        "print([n for n in ('numpy','pyarrow','pandas','sklearn','great_expectations','gmpy2') if n in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
