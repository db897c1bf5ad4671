"""kill -9 of a client's and of the aggregator's task in the middle of a horizontal round, in real Airflows."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.operators.airflows import CLIENTS, ROUNDS, Airflows, hospital_airflows

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(480)]
DAG, LEG = "hospitals_train", f"train.rounds_001_{2 * ROUNDS:03d}"


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflows]:
    with hospital_airflows(tmp_path_factory.mktemp("airflows")) as four:
        yield four


@pytest.mark.parametrize("party", ["east", "registry"])
def test_killed_task_comes_back_into_the_same_sum(four: Airflows, party: str) -> None:
    """With three clients every sum needs all of them: the others wait for the one that was killed, and nobody is left out."""
    run = four.airflows["registry"].trigger(DAG, {}, f"killed-{party}")
    pid = four.until("process of the leg", lambda: four.task(party, DAG, run, LEG).get("pid"), 240)
    four.until("third round", lambda: four.reached_round(party, run, 3), pause=0.02)
    os.kill(pid, signal.SIGKILL)
    before = {one: four.artifacts(one, run) for one in four.airflows}
    four.all_succeed(DAG, run)
    assert four.task(party, DAG, run, LEG)["try_number"] == 2
    four.assert_unharmed(CLIENTS, run, before)
