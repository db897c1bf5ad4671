"""kill -9 of tasks in the middle of a round of transfer and of vertical networks, in real Airflows."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.operators.airflows import AGREEMENT, DEALT, LEG, Airflows, network_airflows, transfer_airflows
from tests.rounded import rounded
from tombolo.fl_tasks.workflow.comparison import compare

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(600)]
FIRST_LEG = f"train.rounds_001_{LEG:03d}"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflows]:
    with network_airflows(tmp_path_factory.mktemp("networks")) as three:
        yield three


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflows]:
    with transfer_airflows(tmp_path_factory.mktemp("transfer")) as two:
        yield two


def killed(airflows: Airflows, initiator: str, agreement: str, party: str) -> str:
    """A run in which a party's task is killed in its second round and goes on, and nothing that was stored has changed."""
    dag = f"{agreement}_train"
    run = airflows.airflows[initiator].trigger(dag, {}, f"killed-{party}")
    pid = airflows.until("process of the leg", lambda: airflows.task(party, dag, run, FIRST_LEG).get("pid"), 240)
    airflows.until("second round", lambda: airflows.reached_round(party, run, 2), pause=0.01)
    os.kill(pid, signal.SIGKILL)
    before = {one: airflows.artifacts(one, run) for one in airflows.airflows}
    airflows.all_succeed(dag, run)
    assert airflows.task(party, dag, run, FIRST_LEG)["try_number"] == 2
    airflows.assert_untouched(run, before)
    return run


@pytest.mark.parametrize("party", ["hospital", "clinic"])
def test_transfer_goes_on_to_the_same_model(two: Airflows, party: str) -> None:
    run = killed(two, "hospital", two.federation.agreement, party)
    two.assert_unharmed(two.airflows, run, {}, off=1e-6)


@pytest.mark.parametrize(
    ("agreement", "party"), [(AGREEMENT, "clinic"), (AGREEMENT, "laboratory"), (DEALT, "notary"), (DEALT, "laboratory")]
)
def test_a_network_goes_on_to_the_one_of_a_single_place(three: Airflows, agreement: str, party: str) -> None:
    """Noise has cancelled in all steps, and the network is the one that descends in one place from the same first weights."""
    run = killed(three, "clinic", agreement, party)
    guest, host = (three.part(one, run, agreement) for one in ("clinic", "laboratory"))
    between = guest.shares["laboratory"] + host.shares["laboratory"]
    assert max(abs(int(one)) for one in between.ravel()) < 2**40
    assert max(abs(int(one)) for one in guest.shares["laboratory"].ravel()) > 2**100
    assert guest.loss[-1] < guest.loss[0]
    pooled = compare(agreement, three.federation.settings, run).models["pooled"]
    found = next(entry for entry in three.context("clinic", agreement).chain.entries(run) if entry.kind == "metrics")
    assert found.body["metrics"]["auc"] == rounded(pooled["auc"], found.body["rows"], 1e-3)
