"""A vertical network whose parties are stopped at every wait, or killed in mid-round, is the one of an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.federation import quiet
from tests.fl_tasks.protocols.vertical_mlp.parties import begun, blocks, drawn, layout, sample, whole
from tests.fl_tasks.workflow.test_neural import agreed
from tombolo.fl_tasks.crypto.paillier import MIN_BITS
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.protocols.vertical_mlp import dealt as on_shares
from tombolo.fl_tasks.protocols.vertical_mlp import encrypted as neural
from tombolo.fl_tasks.runtime.waiting import Wait, Waiting
from tombolo.fl_tasks.workflow.join import invite

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize(("engine", "protocol"), [("paillier", neural), ("dealer", on_shares)])
def test_stopped_at_every_wait(tmp_path, engine, protocol):
    """The parties take turns; each works until a message is missing, forgets everything, and begins anew at its next turn."""
    fed = layout(tmp_path, 2, {"hidden": [1]}, engine=engine, batch_rows=90)
    x, y = sample(180)
    dealt = blocks(fed, x, y)
    run, waiting, stops, states = fed.start(rounds=2), list(fed.parties), 0, {}
    programs = {
        "guest": lambda session: protocol.PROGRAMS.data["guest"](session, dealt[session.me]),
        "host": lambda session: protocol.PROGRAMS.data["host"](session, dealt[session.me]),
        "arbiter": protocol.PROGRAMS.help,
    }
    while waiting:
        assert stops < 200, "nobody gets any further"
        for party in list(waiting):
            try:
                with fed.context(party).session(run, protocol.MESSAGES, "train", Wait(0), quiet) as session:
                    states[party] = programs[session.role](session)
                waiting.remove(party)
            except Waiting:
                stops += 1
    assert stops > 15
    together, given = whole(fed, begun(fed), dealt), {party: block.x for party, block in dealt.items()}
    together.descend(given, y, drawn(fed, dealt), 2, 0.5, 0.9)
    assert whole(fed, states, dealt).outputs(given) == pytest.approx(together.outputs(given), abs=3e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "victim"),
    [("paillier", "clinic"), ("paillier", "lab"), ("dealer", "clinic"), ("dealer", "lab"), ("dealer", "notary")],
)
def test_kill_9_in_the_second_round(tmp_path, engine, victim):
    """Processes of their own, one killed and begun anew: the run settles with nothing unmatched, and the parts fit each other."""
    made = agreed(tmp_path, engine, MIN_BITS)
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
    assert guest.rounds == 4 and guest.loss[-1] < guest.loss[0]
    small = guest.shares["lab"] + part_of_run(made.context("lab"), "run-1").shares["lab"]
    assert max(abs(int(one)) for one in small.ravel()) < 2**37  # both shares are of 108 bits: the noise has cancelled
    assert max(abs(int(one)) for one in guest.shares["lab"].ravel()) > 2**100
