"""What a failed task left behind reaches the peers as it is: every code of every package, in a process that knows none of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from airflow.sdk.exceptions import AirflowFailException

from tests.federation import Federation, federation
from tombolo.fl_tasks.crypto.errors import InvalidCiphertext
from tombolo.fl_tasks.runtime.aborts import TaskFailed
from tombolo.fl_tasks.runtime.waiting import PeerAborted
from tombolo.fl_tasks.workflow.abort import abort
from tombolo.operators.abort import AbortOperator
from tombolo.operators.base import ERROR_KEY
from tombolo.storage.errors import CodedError, Failure, homes

RUN, TABLES = "run-1", dict.fromkeys(("clinic", "lab"), pa.table({"id": ["a"]}))
FAILING = """
import json, pkgutil, sys
from importlib import import_module
from types import SimpleNamespace

from airflow.sdk.exceptions import AirflowException

for package in ("storage", "agreements", "fl_tasks", "operators"):
    for module in pkgutil.walk_packages(import_module(f"tombolo.{package}").__path__, f"tombolo.{package}."):
        import_module(module.name)

from tombolo.operators.base import fail
from tombolo.storage.errors import REGISTRY, CodedError, Failure
from tombolo.fl_tasks.runtime.waiting import PeerAborted

def left(error):
    pushed = []
    try:
        fail(error, {"ti": SimpleNamespace(xcom_push=lambda key, value: pushed.append(value))}, "clinic")
    except AirflowException:
        return pushed[0]

made = {}
for code, kind in REGISTRY.items():
    origin = Failure("clinic", "train", code, kind.cause, by="clinic")
    error = PeerAborted(origin) if kind is PeerAborted else kind("Ada owes 12345.", party="lab", step="train")
    made[code] = [left(error), kind.cause, kind.remedy]
json.dump(made, open(sys.argv[1], "w"))
"""
ABORTING = """
import json, sys
from types import SimpleNamespace

from airflow.sdk.exceptions import AirflowFailException
from tombolo.operators.abort import AbortOperator
from tombolo.fl_tasks.runtime.context import PartyContext

party, said = PartyContext.open("trial"), {}
for code, (left, cause, remedy) in json.load(open(sys.argv[1])).items():
    ti = SimpleNamespace(xcom_pull=lambda task_ids, key: [None, left])
    try:
        AbortOperator(task_id="abort", agreement="trial").work(party, f"run-{code}", None, None, {"ti": ti})
    except AirflowFailException as error:
        said[code] = str(error)
json.dump(said, open(sys.argv[2], "w"))
"""
HEARING = """
import json, sys
from tombolo.fl_tasks.runtime.context import PartyContext

context, heard = PartyContext.open("trial"), {}
for code in json.load(open(sys.argv[1])):
    error = context.aborted(f"run-{code}")
    heard[code] = [error.origin.document(), str(error)]
json.dump(heard, open(sys.argv[2], "w"))
"""


@pytest.fixture
def three(tmp_path: Path) -> Federation:
    return federation(tmp_path, TABLES, parameters={"key_bits": 2048})  # operators open the party with production's key length


def in_a_fresh_process(fed: Federation, program: str, party: str, *files: Path) -> Any:
    """Run a program as a party; returns what it wrote into the last file."""
    environment = {"TOMBOLO_PARTY": str(fed.settings(party)), "PYTHONPATH": ":".join(sys.path), "HOME": str(fed.root)}
    command = [sys.executable, "-c", program, *map(str, files)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    return json.loads(files[-1].read_text())


@pytest.mark.slow
def test_every_code_of_every_package_arrives_as_itself(tmp_path):
    roles = {"clinic": "guest", "lab": "host"}
    two = federation(tmp_path, TABLES, roles, "secureboost", parameters={"key_bits": 2048})
    records, said, heard = (tmp_path / name for name in ("records", "said", "heard"))
    made = in_a_fresh_process(two, FAILING, "clinic", records)
    assert made.keys() == homes().keys() and len(made) > 170, "the sources tell of exactly the codes that the modules define"
    told = in_a_fresh_process(two, ABORTING, "clinic", records, said)
    arrived = in_a_fresh_process(two, HEARING, "lab", records, heard)
    for code, (_, cause, remedy) in made.items():
        document, text = arrived[code]
        assert document == {"party": "clinic", "step": "train", "code": code, "cause": cause, "by": "clinic"}
        assert f"clinic failed at train with {code}: {cause} Remedy: {remedy}" in text
        assert f"clinic failed at train with {code}: {cause} Remedy: {remedy}" in told[code]
        assert "Ada" not in text + told[code]


def aborting(three: Federation, *left: CodedError | None, states: dict[str, str] | None = None) -> str:
    """What the clinic's abort task ends with, after tasks that left these errors behind."""
    records = [error.failure("clinic").document() if error else None for error in left]
    ti: Any = SimpleNamespace(
        dag_id="trial_train",
        run_id=RUN,
        xcom_pull=lambda task_ids, key: records if key == ERROR_KEY else [],
        xcom_push=lambda key, value: None,
        get_task_states=lambda dag_id, task_ids, run_ids: {RUN: states or {}},
    )
    operator = AbortOperator(task_id="abort", agreement="trial", run_id=RUN)
    operator.upstream_task_ids = set(states or {})
    with pytest.raises(AirflowFailException) as caught:
        operator.execute({"ti": ti})
    return str(caught.value)


@pytest.fixture
def at_the_clinic(three: Federation, monkeypatch: pytest.MonkeyPatch) -> Federation:
    monkeypatch.setenv("TOMBOLO_PARTY", str(three.settings("clinic")))
    return three


def test_the_abort_task_ends_with_the_partys_own_error(at_the_clinic):
    echo = PeerAborted(Failure("lab", "train", TaskFailed.code, TaskFailed.cause, by="lab"))
    text = aborting(at_the_clinic, None, echo, InvalidCiphertext("An id.", party="lab", step="align"))
    assert text.startswith(f"clinic failed at align with TMB-CRYPTO-003: {InvalidCiphertext.cause} Remedy: ")
    for party in ("lab", "notary"):
        heard = at_the_clinic.context(party).aborted(RUN)
        assert isinstance(heard, PeerAborted) and (heard.origin.party, heard.origin.code) == ("clinic", "TMB-CRYPTO-003")


def test_the_abort_task_of_who_heard_of_it_names_the_origin(at_the_clinic):
    abort(at_the_clinic.context("lab"), RUN, InvalidCiphertext(), "align")
    heard = at_the_clinic.context("clinic").aborted(RUN)
    assert aborting(at_the_clinic, heard).startswith("lab failed at align with TMB-CRYPTO-003")
    assert at_the_clinic.context("notary").aborted(RUN).origin.party == "lab"


def test_a_task_that_was_ended_from_outside_is_named(at_the_clinic):
    text = aborting(at_the_clinic, None, None, states={"align": "success", "train.rounds_001_025": "failed"})
    assert text.startswith("clinic failed at train with TMB-RUN-002")
