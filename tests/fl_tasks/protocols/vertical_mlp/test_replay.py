"""A vertical network whose parties are stopped at every wait, or killed in mid-round, is the one of an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fl_tasks.workflow.test_neural import agreed
from tombolo.fl_tasks.crypto.paillier import MIN_BITS
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.workflow.join import invite

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "victim"),
    [("paillier", "clinic"), ("paillier", "lab"), ("dealer", "clinic"), ("dealer", "lab"), ("dealer", "notary")],
)
def test_kill_9_in_the_second_round(tmp_path, engine, victim):
    """Processes of their own, one killed and begun anew: the run settles with nothing unmatched, and the parts fit each other."""
    made = agreed(tmp_path, engine, MIN_BITS, rounds=3)
    invite(made.context("clinic"), "run-1", "train", {})

    def start(party: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tombolo.cli.simulation.party", str(made.settings(party)), "trial", "run-1"]
        with open(tmp_path / f"{party}.log", "ab") as log:
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, cwd=ROOT)

    processes = {party: start(party) for party in made.parties}
    try:
        deadline = time.monotonic() + 200
        while not list((tmp_path / victim / "store").glob("to-*/trial/run-1/000002/*.0/*")):
            assert time.monotonic() < deadline and processes[victim].poll() is None
            time.sleep(0.01)
        os.kill(processes[victim].pid, signal.SIGKILL)
        assert processes[victim].wait() == -signal.SIGKILL
        processes[victim] = start(victim)
        assert {party: process.wait(200) for party, process in processes.items()} == dict.fromkeys(made.parties, 0)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    guest = part_of_run(made.context("clinic"), "run-1")
    assert guest.rounds == 3 and guest.loss[-1] < guest.loss[0]
    small = guest.shares["lab"] + part_of_run(made.context("lab"), "run-1").shares["lab"]
    assert max(abs(int(one)) for one in small.ravel()) < 2**37  # both shares are of 108 bits: the noise has cancelled
    assert max(abs(int(one)) for one in guest.shares["lab"].ravel()) > 2**100
