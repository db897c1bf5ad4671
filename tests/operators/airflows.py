"""Three real Airflows of the demo federation for tests: small keys, short waits, and a second agreement that asks a person."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from rich.console import Console

from cli.demo.airflow_api import FINISHED, Airflow
from cli.demo.demos import WDBC
from cli.demo.federation import Federation, lay_out
from cli.demo.instance import Instance, free_ports
from cli.demo.progress import Display
from cli.demo.running import start
from cli.demo.supervise import Supervisor
from contracts.agreement import Agreement
from fl_tasks.workplace import Workplace
from storage.identity import PartyKeys

AGREEMENT = WDBC.agreement
ROUNDS, LEG = 6, 3
ASKED = "asked"


@dataclass
class Three:
    """A federation with its Airflows up."""

    federation: Federation
    instances: dict[str, Instance]
    environments: dict[str, dict[str, str]]
    supervisor: Supervisor
    airflows: dict[str, Airflow]

    def place(self, party: str, agreement: str = AGREEMENT) -> Workplace:
        return Workplace.open(agreement, self.federation.settings[party])

    def until(self, what: str, ready: Callable[[], Any], seconds: float = 120) -> Any:
        """Wait for a condition and return it; fails naming what was awaited."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = ready()
            if found:
                return found
            time.sleep(0.3)
        raise AssertionError(f"no {what} within {seconds:.0f} s")

    def task(self, party: str, dag: str, run: str, task: str) -> dict[str, Any]:
        """A task instance, or an empty one while there is no run yet."""
        airflow = self.airflows[party]
        if airflow.run(dag, run) is None:
            return {"state": None, "try_number": 0}
        return next(one for one in airflow.tasks(dag, run) if one["task_id"] == task)

    def all_succeed(self, dag: str, run: str, seconds: float = 240) -> None:
        for party, airflow in self.airflows.items():
            state = airflow.wait_run(dag, run, seconds)
            failed = [task["task_id"] for task in airflow.tasks(dag, run) if task["state"] not in ("success", "skipped")]
            assert state == "success", (party, state, failed)

    def ended(self, party: str, dag: str, run: str, task: str) -> bool:
        return self.task(party, dag, run, task)["state"] in FINISHED


@contextmanager
def three_airflows(root: Path, before: Callable[[Federation], None] = lambda _: None) -> Iterator[Three]:
    """Lay out, call ``before``, start, and stop at the end."""
    document = yaml.safe_load((WDBC.terms / "agreement.yaml").read_text())
    task = {**document["task"], "parameters": {"rounds": ROUNDS, "l2": 0.01, "key_bits": 1024, "tolerance": 1e-9}}
    federation = lay_out(root / "demo", {"task": task, "leg": LEG, "quality": None}, inline_seconds=12)
    _split(federation)
    _add_agreement(federation, ASKED, {"task": task, "joining": "approval", "deadlines": {"message": 20, "join": 75, "run": 3600}})
    before(federation)
    ports = free_ports(len(federation.settings), 18080)
    instances = {
        party: Instance(party, federation.home(party) / "airflow", settings, port, "a password for tests")
        for (party, settings), port in zip(federation.settings.items(), ports, strict=True)
    }
    environments = {party: one.environment() for party, one in instances.items()}
    supervisor = Supervisor(root / "processes.json")
    try:
        airflows = start(AGREEMENT, list(instances.values()), supervisor, Display(Console(quiet=True), None, []), environments)
        yield Three(federation, instances, environments, supervisor, airflows)
    finally:
        supervisor.stop()


def _split(federation: Federation) -> None:
    """The guest fixes who is held out, so that two runs train on the same rows."""
    home = federation.home("clinic")
    ids = sorted(pd.read_parquet(home / "patients.parquet")["patient"])
    sets = ["test" if number % 4 == 0 else "train" for number in range(len(ids))]
    pd.DataFrame({"patient": ids, "set": sets}).to_csv(home / "split.csv", index=False)
    _edit(federation.settings["clinic"], lambda settings: settings["agreements"][AGREEMENT].update(split="split.csv"))


def _add_agreement(federation: Federation, name: str, terms: dict[str, Any]) -> None:
    """A second agreement of the same parties over the same tables."""
    keys = {party: PartyKeys.load(federation.home(party) / "keys.json") for party in federation.settings}
    for party in keys:
        folder = federation.home(party) / "federations"
        document = yaml.safe_load((folder / AGREEMENT / "agreement.yaml").read_text())
        (folder / name).mkdir()
        (folder / name / "agreement.yaml").write_text(yaml.safe_dump({**document, "name": name, **terms}, sort_keys=False))
        _edit(federation.settings[party], lambda settings: settings["agreements"].update({name: settings["agreements"][AGREEMENT]}))
        stores = {other: (own, f"file://{federation.home(other) / 'store'}") for other, own in keys.items()}
        Agreement.pin_all(folder / name, stores)


def _edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    document = yaml.safe_load(path.read_text())
    change(document)
    path.write_text(yaml.safe_dump(document, sort_keys=False))
