"""SecureBoost that is stopped at every wait, or killed in mid-tree, ends with the trees of an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.federation import quiet
from tests.fl_tasks.protocols.secureboost.parties import blocks, grown, layout, pooled, sample
from tests.fl_tasks.workflow.test_boosted import PARTIES, boosted, pooled_metrics
from tests.rounded import rounded
from tombolo.fl_tasks.crypto.paillier import MIN_BITS
from tombolo.fl_tasks.protocols.secureboost import programs as secureboost
from tombolo.fl_tasks.runtime.waiting import Wait, Waiting
from tombolo.fl_tasks.workflow.join import invite
from tombolo.storage.canonical import parse

ROOT = Path(__file__).resolve().parents[4]


def test_stopped_at_every_wait_with_several_classes(tmp_path):
    """The parties take turns; each works until a message is missing, forgets everything, and begins anew at its next turn."""
    fed = layout(tmp_path, 1, {"objective": "softmax", "classes": 3})
    dealt = blocks(fed, *sample(rows=80, outputs=3))
    run, waiting, stops = fed.start(rounds=2), list(fed.parties), 0
    programs = {"guest": secureboost.PROGRAMS.data["guest"], "host": secureboost.PROGRAMS.data["host"]}
    while waiting:
        assert stops < 200, "nobody gets any further"
        for party in list(waiting):
            try:
                with fed.context(party).session(run, secureboost.MESSAGES, "train", Wait(0), quiet) as session:
                    programs[session.role](session, dealt[party])
                waiting.remove(party)
            except Waiting:
                stops += 1
    assert stops > 15
    trees, records = grown(fed, 2)
    model = pooled(fed, dealt, 2)
    assert [{**tree, "column": None} for tree in trees] == [{**tree.document(), "column": None} for tree in model.trees]
    assert records["lab"] == [list(record) for record in model.records[1]]


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["clinic", "lab"])
def test_kill_9_in_the_second_tree(tmp_path, victim):
    """Processes of their own, one killed and begun anew: the model is the one that XGBoost makes of the same bins."""
    made = boosted(tmp_path, key_bits=MIN_BITS)
    invite(made.context("clinic"), "run-1", "train", {})

    def start(party: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tombolo.cli.simulation.party", str(made.settings(party)), "trial", "run-1"]
        with open(tmp_path / f"{party}.log", "ab") as log:
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, cwd=ROOT)

    processes = {party: start(party) for party in PARTIES}
    try:
        deadline = time.monotonic() + 200
        while not list((tmp_path / victim / "store").glob("to-*/trial/run-1/000002/*.1/*")):
            assert time.monotonic() < deadline and processes[victim].poll() is None
            time.sleep(0.01)
        os.kill(processes[victim].pid, signal.SIGKILL)
        assert processes[victim].wait() == -signal.SIGKILL
        processes[victim] = start(victim)
        assert {party: process.wait(200) for party, process in processes.items()} == dict.fromkeys(PARTIES, 0)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    found = parse(made.context("clinic").run_area("run-1").get("evaluation"))
    assert found["metrics"] == rounded(pooled_metrics(made), found["rows"])
