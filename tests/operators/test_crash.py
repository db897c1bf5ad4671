"""kill -9 of a task, a scheduler and a triggerer in the middle of a round; silent, refusing and aborting peers. Real Airflows."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from cli.demo.federation import Federation
from fl_tasks.models.part import ModelPart
from fl_tasks.stages.align import align
from fl_tasks.stages.join import invite, join
from fl_tasks.stages.train import train
from fl_tasks.stages.validate import validate
from fl_tasks.workplace import Workplace
from tests.federation import FOREVER, quiet
from tests.operators.airflows import AGREEMENT, ASKED, Three, three_airflows

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(480)]
DAG, QUESTION = f"{AGREEMENT}_train", f"{ASKED}_train"
FIRST_LEG, SECOND_LEG = "train.rounds_001_003", "train.rounds_004_006"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    with three_airflows(tmp_path_factory.mktemp("airflows"), before=undisturbed) as three:
        yield three


def undisturbed(federation: Federation) -> None:
    """The run to compare with: the same agreement and rows, in threads, without Airflow."""
    from concurrent.futures import ThreadPoolExecutor

    def work(party: str) -> None:
        for stage in (join, validate, align, train):
            stage(Workplace.open(AGREEMENT, federation.settings[party]), "undisturbed", FOREVER, progress=quiet)

    invite(Workplace.open(AGREEMENT, federation.settings["clinic"]), "undisturbed")
    with ThreadPoolExecutor() as pool:
        list(pool.map(work, federation.settings))


def weights(three: Three, party: str, run: str) -> np.ndarray:
    return np.asarray(ModelPart.of_run(three.place(party), run).document["weights"])


def artifacts(three: Three, party: str, run: str) -> dict[Path, str]:
    """Everything that a party's store holds of a run, with its hash."""
    store = three.federation.home(party) / "store"
    files = [path for path in store.rglob("[!.~]*") if path.is_file() and run in path.parts]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def reached_round(three: Three, party: str, run: str, round: int) -> bool:
    return any((three.federation.home(party) / "store").glob(f"to-*/{AGREEMENT}/{run}/{round:06d}"))


def assert_unharmed(three: Three, run: str, before: dict[str, dict[Path, str]]) -> None:
    for party in ("clinic", "laboratory"):
        np.testing.assert_allclose(weights(three, party, run), weights(three, party, "undisturbed"), rtol=0, atol=1e-9)
    for party, stored in before.items():
        assert stored, party
        now = artifacts(three, party, run)
        assert {path: now[path] for path in stored} == stored


def test_killed_task_goes_on_from_its_checkpoint(three: Three) -> None:
    run = three.airflows["clinic"].trigger(DAG, {}, "killed-task")
    three.until("second round", lambda: reached_round(three, "clinic", run, 2), 240)
    before = {party: artifacts(three, party, run) for party in three.airflows}
    os.kill(three.task("clinic", DAG, run, FIRST_LEG)["pid"], signal.SIGKILL)
    three.all_succeed(DAG, run)
    assert three.task("clinic", DAG, run, FIRST_LEG)["try_number"] == 2
    assert_unharmed(three, run, before)


def test_killed_scheduler_and_triggerer(three: Three) -> None:
    run = three.airflows["clinic"].trigger(DAG, {}, "killed-scheduler")
    three.until("second round", lambda: reached_round(three, "clinic", run, 2), 240)
    before = {party: artifacts(three, party, run) for party in three.airflows}
    scheduler = three.supervisor.process(three.instances["laboratory"], "scheduler")
    os.kill(scheduler.pid, signal.SIGKILL)
    three.until("deferred task", lambda: three.task("clinic", DAG, run, SECOND_LEG)["state"] == "deferred")
    os.kill(three.supervisor.process(three.instances["clinic"], "triggerer").pid, signal.SIGKILL)
    three.supervisor.restart(three.instances["laboratory"], three.environments["laboratory"], "scheduler")
    three.supervisor.restart(three.instances["clinic"], three.environments["clinic"], "triggerer")
    three.all_succeed(DAG, run)
    assert_unharmed(three, run, before)


def test_silent_peer_costs_no_slot_and_is_named_at_the_deadline(three: Three) -> None:
    run = three.airflows["clinic"].trigger(QUESTION, {}, "silence")
    three.until("deferred task", lambda: three.task("clinic", QUESTION, run, "join")["state"] == "deferred")
    three.until("end of the wait", lambda: three.ended("clinic", QUESTION, run, "join"), 150)
    log = three.airflows["clinic"].log(QUESTION, run, "join", three.task("clinic", QUESTION, run, "join")["try_number"])
    assert "TMB-EXCH-003" in log and "party laboratory" in log and "Awaited: join" in log
    assert three.airflows["clinic"].wait_run(QUESTION, run, 60) == "failed"


def test_a_person_decides_and_a_refusal_stops_everybody(three: Three) -> None:
    run = three.airflows["clinic"].trigger(QUESTION, {}, "refusal")
    for party, answer in (("laboratory", "Approve"), ("notary", "Reject")):
        three.until("question", lambda party=party: three.task(party, QUESTION, run, "approve")["state"] == "awaiting_input")
        time.sleep(6)  # a person reads; an answer within Airflow's own loop time may count as a crash of the asking task
        details = f"/api/v2/dags/{QUESTION}/dagRuns/{run}/taskInstances/approve/-1/hitlDetails"
        three.airflows[party].patch(details, {"chosen_options": [answer], "params_input": {}})
    for party in ("clinic", "laboratory"):
        assert three.airflows[party].wait_run(QUESTION, run, 90) == "failed"
        log = three.airflows[party].log(QUESTION, run, "join", 1)
        assert "TMB-EXCH-004" in log and "TMB-RUN-007" in log and "party notary" in log, party
    assert b'"approver":"admin"' in (three.place("laboratory", ASKED).run_area(run).get("join") or b"")


def test_pages_are_for_those_who_may_read_the_dag_and_stay_in_their_folder(three: Three) -> None:
    """The page of one run, its files, and nothing beside them."""

    def status(path: str, token: str | None) -> int:
        url = f"{three.airflows['clinic'].url}/tombolo/runs/{path}"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with httpx.Client(trust_env=False) as client:
            answer = client.get(url, headers=headers)
        if answer.status_code == 200:
            assert "default-src 'none'" in answer.headers["content-security-policy"]
        return answer.status_code

    token = three.airflows["clinic"].token()
    page = f"{DAG}/undisturbed/"
    assert status(page, None) == 401
    assert status(page, token) == 200
    assert status(f"{page}validation/index.html", token) == 200
    for outside in (
        "..%2f..%2f..%2fkeys.json",
        "..%2f..%2f..%2fparty.yaml",
        "validation/..%2f..%2fother/index.html",
        "missing.html",
    ):
        assert status(page + outside, token) == 404, outside
    assert status(f"{AGREEMENT}_monitor/undisturbed/", token) == 404
