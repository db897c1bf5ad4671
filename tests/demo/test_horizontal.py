"""The hospitals' demo in parts: its tables, how a client is killed, and what is told of who was there."""

from __future__ import annotations

import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import psutil
import pytest
import yaml
from rich.console import Console

from tombolo.cli.demo import following
from tombolo.cli.demo.demos import HOSPITALS
from tombolo.cli.demo.horizontal import VANISHES, Vanishing, show_clients
from tombolo.cli.demo.hospitals import LABEL, SITES, write_tables
from tombolo.cli.demo.progress import Display
from tombolo.cli.demo.supervise import Supervisor

FAMILY = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); time.sleep(60)"
SILENT = Display(Console(quiet=True), None, [])


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return write_tables(tmp_path_factory.mktemp("tables"))


def test_every_patient_is_at_one_hospital_and_new_ones_are_new(tables):
    known = {name: set(pd.read_parquet(one.table)["patient"]) for name, one in tables.items()}
    new = {name: set(pd.read_parquet(one.predict_table)["patient"]) for name, one in tables.items()}
    assert list(tables) == list(SITES)
    assert len(set.union(*known.values(), *new.values())) == sum(map(len, [*known.values(), *new.values()])) == 569
    for name, one in tables.items():
        assert LABEL not in pd.read_parquet(one.predict_table)
        assert set(pd.read_parquet(one.labels_table)["patient"]) == new[name]
        split = pd.read_csv(one.split)
        assert set(split["patient"]) == known[name] and 0.2 < (split["set"] == "test").mean() < 0.3
        assert one.settings()["split"] == one.split.name


def test_hospitals_see_other_tumours_and_all_have_the_agreed_columns(tables):
    terms = yaml.safe_load((HOSPITALS.terms / "agreement.yaml").read_text())
    frames = {name: pd.read_parquet(one.table) for name, one in tables.items()}
    shares = [frame[LABEL].mean() for frame in frames.values()]
    assert shares == sorted(shares) and shares[-1] > 0.5 > 0.2 > shares[0] > 0
    for frame in frames.values():
        assert set(terms["task"]["horizontal"]["features"]) < set(frame.columns)
    assert terms["parties"][VANISHES]["role"] == "client"


def test_a_killed_airflow_leaves_no_process_and_is_not_missed(tmp_path: Path):
    supervisor = Supervisor(tmp_path / "processes.json")
    started = [subprocess.Popen([sys.executable, "-c", FAMILY], start_new_session=True) for _ in range(2)]
    try:
        doomed, other = (psutil.Process(one.pid) for one in started)
        supervisor._running = {"west/scheduler": doomed, "north/scheduler": other}
        until = time.monotonic() + 10
        while not (children := doomed.children()) and time.monotonic() < until:
            time.sleep(0.05)
        assert supervisor.kill("west") == 2
        assert not children[0].is_running() and other.is_running()
        supervisor.check()
        assert "west/" not in (tmp_path / "processes.json").read_text()
    finally:
        supervisor.stop()
        for one in started:
            one.kill()
            one.wait()


def test_a_client_vanishes_once_when_it_has_begun_the_round(tmp_path: Path):
    killed: list[str] = []
    federation: Any = SimpleNamespace(home=lambda party: tmp_path / party)
    supervisor: Any = SimpleNamespace(kill=lambda party: killed.append(party) or 9)
    vanishing = Vanishing(SimpleNamespace(federation=federation, supervisor=supervisor, show=SILENT), "west", 3)
    (tmp_path / "west" / "store" / "to-registry" / "hospitals" / "run-1" / "000003").mkdir(parents=True)
    assert vanishing("run-1") is None
    (tmp_path / "west" / "store" / "to-registry" / "hospitals" / "run-1" / "000004").mkdir()
    assert vanishing("run-0") is None
    assert [vanishing("run-1"), vanishing("run-1")] == ["west", None] and killed == ["west"]
    assert (vanishing.moment["round"], vanishing.moment["processes"]) == (4, 9)


def test_who_has_gone_is_not_asked_any_more(monkeypatch):
    monkeypatch.setattr(following, "_EVERY", 0.01)

    class Instance:
        """An Airflow that answers twice that it is at work, then that all went well."""

        def __init__(self) -> None:
            self.asked = 0

        def run(self, dag: str, run: str) -> dict[str, str]:
            self.asked += 1
            return {"state": "running" if self.asked < 3 else "success"}

        def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
            return []

    instances: Any = {"registry": Instance(), "west": Instance()}
    gone = iter([None, None, None, "west"])
    show = Display(Console(quiet=True), None, instances)
    runs = dict.fromkeys(instances, "run-1")
    followed = following.follow(instances, "registry", "hospitals_train", runs, show, 60, lambda: next(gone, None))
    assert followed.states == {"registry": "success", "west": following.VANISHED} and followed.succeeded
    assert instances["west"].asked < 3


def test_who_was_there_is_drawn():
    clients = {
        "started": list(SITES),
        "finished": list(SITES[:3]),
        "vanished": {"west": {"round": 4, "at": "", "processes": 9}},
        "predicted_rows": {"north": 17, "east": 21, "south": 26},
        "sums": [
            {"sums": "statistics", "first": 0, "last": 0, "clients": list(SITES)},
            {"sums": "rounds 4 to 8", "first": 4, "last": 8, "clients": list(SITES[:3])},
        ],
    }
    output = StringIO()
    report = {"clients": clients, "rounds": 8, "settlement": {"signers": ["north", "registry"]}}
    show_clients(report, Path(), Console(file=output, width=80))
    lines = {line.split("│")[1].strip(): line for line in output.getvalue().splitlines() if line.count("│") > 4}
    assert [lines[name].count("█") for name in ("statistics", "rounds 4 to 8", "signed the block")] == [4, 3, 1]
    assert lines["rows scored"].split("│")[2].strip() == "17" and lines["rows scored"].split("│")[5].strip() == ""
    assert "west was killed in round 4 of 8" in output.getvalue()
