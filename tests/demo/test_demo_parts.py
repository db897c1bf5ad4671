"""The demo's parts: the split of the tables, ports, processes that are stopped with all descendants."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from tombolo.agreements.agreement import Agreement
from tombolo.agreements.settings import PartySettings
from tombolo.cli.app import app
from tombolo.cli.demo.demos import DEMOS
from tombolo.cli.demo.federation import lay_out
from tombolo.cli.demo.instance import Instance, free_ports
from tombolo.cli.demo.running import _login, _show_instances
from tombolo.cli.demo.stories import STORIES
from tombolo.cli.demo.supervise import stop_registered
from tombolo.cli.demo.wdbc import CLINIC_COLUMNS, write_tables


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return write_tables(tmp_path_factory.mktemp("tables"))


def test_every_demo_has_a_story():
    assert STORIES.keys() == DEMOS.keys()


def test_each_side_knows_patients_that_the_other_does_not(tables):
    clinic, laboratory = pd.read_parquet(tables["clinic"].table), pd.read_csv(tables["laboratory"].table)
    own, theirs = set(clinic["patient"]), set(laboratory["patient"])
    assert own - theirs and theirs - own and len(own & theirs) > 400
    common = [patient for patient in clinic["patient"] if patient in theirs]
    assert common != [patient for patient in laboratory["patient"] if patient in own]


def test_labels_and_strong_columns_are_apart(tables):
    clinic, laboratory = pd.read_parquet(tables["clinic"].table), pd.read_csv(tables["laboratory"].table)
    assert list(clinic.columns) == ["patient", *CLINIC_COLUMNS, "malignant"]
    assert not set(laboratory.columns) & {*CLINIC_COLUMNS, "malignant"}
    assert "malignant" not in pd.read_parquet(tables["clinic"].predict_table)


def test_new_patients_are_new(tables):
    known = set(pd.read_parquet(tables["clinic"].table)["patient"]) | set(pd.read_csv(tables["laboratory"].table)["patient"])
    outcomes = set(pd.read_parquet(tables["clinic"].labels_table)["patient"])
    assert not known & outcomes
    assert set(pd.read_parquet(tables["clinic"].predict_table)["patient"]) <= outcomes


def test_tables_are_the_same_every_time(tables, tmp_path):
    again = write_tables(tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(tables["clinic"].table), pd.read_parquet(again["clinic"].table))
    assert tables["laboratory"].table.read_bytes() == again["laboratory"].table.read_bytes()


@pytest.mark.parametrize("demo", DEMOS.values(), ids=DEMOS)
def test_parties_share_an_agreement_and_nothing_else(demo, tmp_path):
    federation = lay_out(tmp_path / "demo", demo=demo)
    terms = yaml.safe_load((demo.terms / "agreement.yaml").read_text())
    assert list(federation.settings) == list(terms["parties"]) and federation.agreement == demo.agreement
    digests = set()
    for party, settings in federation.settings.items():
        loaded = PartySettings.load(settings)
        agreement = Agreement.load(loaded.federations / demo.agreement)
        agreement.require_member(party, loaded.load_keys())
        digests.add(agreement.digest)
        named = yaml.safe_dump(yaml.safe_load(settings.read_text()))
        assert not any(f"/{other}/" in named for other in federation.settings if other != party)
    assert len(digests) == 1


def test_demos_do_not_get_in_each_others_way():
    for what in ("agreement", "root", "register", "first_port"):
        assert len({getattr(demo, what) for demo in DEMOS.values()}) == len(DEMOS)


def test_an_unknown_demo_is_misuse():
    result = CliRunner().invoke(app, ["demo", "weather"])
    assert result.exit_code == 2 and "there is no demo weather" in " ".join(result.output.split())


def test_stopping_stops_whichever_demo_runs(tmp_path, monkeypatch):
    sleepers = []
    moved = {name: replace(demo, root=tmp_path / demo.root.name) for name, demo in DEMOS.items()}
    monkeypatch.setattr("tombolo.cli.demo.demos.DEMOS", moved)
    try:
        for demo in moved.values():
            sleepers.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True))
            one = psutil.Process(sleepers[-1].pid)
            demo.register.write_text(json.dumps([{"name": "a", "pid": one.pid, "started": one.create_time()}]))
        assert f"stopped {len(DEMOS)} processes" in CliRunner().invoke(app, ["demo-stop"]).output
        assert not any(psutil.pid_exists(sleeper.pid) for sleeper in sleepers)
        assert "stopped 0 processes" in CliRunner().invoke(app, ["demo-stop"]).output
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()


def test_ports_in_use_are_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert port not in free_ports(3, port)


def test_logins_and_secrets_are_for_the_owner_alone(tmp_path):
    instance = Instance("clinic", tmp_path / "airflow", tmp_path / "party.yaml", 8080, "s3cret")
    instance.prepare()
    assert (instance.home / "passwords.json").stat().st_mode & 0o077 == 0
    first, second = instance.environment(), instance.environment()
    assert first["AIRFLOW__CORE__FERNET_KEY"] != second["AIRFLOW__CORE__FERNET_KEY"]
    assert first["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_passwords_of_stopped_airflows_are_told_nowhere(tmp_path):
    instance = Instance("clinic", tmp_path / "airflow", tmp_path / "party.yaml", 8080, "s3cret")
    told = {}
    for keep in (False, True):
        output = StringIO()
        airflows = {"clinic": _login(instance, keep)}
        _show_instances(airflows, None if keep else "make up", Console(file=output, width=80))
        told[keep] = f"{airflows} {output.getvalue()}"
    assert "s3cret" not in told[False] and "`make up` runs the demo again" in told[False]
    assert told[True].count("s3cret") == 2 and "Stop them with `make down`" in told[True]


def test_stopping_ends_descendants_and_spares_a_reused_process_id(tmp_path: Path):
    code = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); time.sleep(60)"
    ours = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        until = time.monotonic() + 10
        while not (children := psutil.Process(ours.pid).children()) and time.monotonic() < until:
            time.sleep(0.05)
        register = tmp_path / "processes.json"
        entries = [
            {"name": "a", "pid": ours.pid, "started": psutil.Process(ours.pid).create_time()},
            {"name": "b", "pid": other.pid, "started": 1.0},
        ]
        register.write_text(json.dumps(entries))
        assert stop_registered(register) == 1
        assert not children[0].is_running() and other.poll() is None
        assert stop_registered(register) == 0
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()
