"""A real Airflow of a hospital that misses runs: its DAG runs end well, in skipped tasks, and its ledger has the blocks."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from rich.console import Console

from tests.federation import FOREVER, Federation, quiet
from tests.fl_tasks.learning.horizontal.hospitals import hospitals
from tests.fl_tasks.ledger.audit.settled import audited
from tombolo.cli.demo.airflow_api import Airflow
from tombolo.cli.demo.instance import Instance, free_ports
from tombolo.cli.demo.progress import Display
from tombolo.cli.demo.running import start
from tombolo.cli.demo.supervise import Supervisor
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.join import invite, join
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(480)]
DAG, OTHERS = "trial_train", ["north", "east", "south", "centre"]


@pytest.fixture(scope="module")
def west(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Federation, Airflow]]:
    root = tmp_path_factory.mktemp("west")
    terms = {"joining": "approval", "deadlines": {"join": 60}}
    fed = hospitals(root, horizontal={"absence": "skip"}, terms=terms, tolerance=1e-3)
    port = free_ports(1, 18080)[0]
    one = Instance("west", root / "west" / "airflow", fed.settings("west"), port, "a password for tests")
    supervisor, environment = Supervisor(root / "processes.json"), one.environment()
    try:
        yield fed, start("trial", [one], supervisor, Display(Console(quiet=True), None, []), {"west": environment})["west"]
    finally:
        supervisor.stop()


def invited(fed: Federation, airflow: Airflow, run: str) -> None:
    """West's inbox begins its DAG run, whose question waits for an answer."""
    invite(fed.context("centre"), run)
    end = time.monotonic() + 100
    while airflow.run(DAG, run) is None or states(airflow, run)["approve"] != "awaiting_input":
        assert time.monotonic() < end, "no question in time"
        time.sleep(0.3)


def states(airflow: Airflow, run: str) -> dict[str, str | None]:
    return {task["task_id"]: task["state"] for task in airflow.tasks(DAG, run)}


def others_do_it(fed: Federation, run: str) -> None:
    fed.run_all(lambda party: join(fed.context(party), run, FOREVER, progress=quiet), OTHERS)
    for stage in (validate, align, train, evaluate, publish, settle):
        fed.stage(stage, run, OTHERS)


def assert_skipped(fed: Federation, airflow: Airflow, run: str, height: int) -> None:
    assert airflow.wait_run(DAG, run, 240) == "success"
    ended = states(airflow, run)
    assert ended.pop("settle") == "success" and ended.pop("invitation") == "success"
    assert set(ended.values()) == {"skipped"}, ended
    assert fed.context("west").blocks.get(height) == fed.context("north").blocks.get(height)
    assert audited(fed, "west").findings == []


def test_a_refusal(west: tuple[Federation, Airflow]) -> None:
    fed, airflow = west
    invited(fed, airflow, "refused")
    time.sleep(6)  # a person reads; an answer within Airflow's own loop time may count as a crash of the asking task
    details = f"/api/v2/dags/{DAG}/dagRuns/refused/taskInstances/approve/-1/hitlDetails"
    airflow.patch(details, {"chosen_options": ["Reject"], "params_input": {}})
    others_do_it(fed, "refused")
    assert_skipped(fed, airflow, "refused", 1)


def test_nobody_answers(west: tuple[Federation, Airflow]) -> None:
    fed, airflow = west
    invited(fed, airflow, "unanswered")
    others_do_it(fed, "unanswered")
    assert_skipped(fed, airflow, "unanswered", 2)
