"""Real Airflows of the demos' federations for tests, and the same runs without Airflow to compare with.

Three of the clinic's: short waits, and a second agreement that asks a person, or two about networks. Four of the hospitals':
without west. Two of the diagnosis, and five of the lenders'.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from rich.console import Console
from safetensors.numpy import load

from tests.federation import FOREVER, quiet
from tombolo.agreements.agreement import Agreement
from tombolo.agreements.task import EXPOSURE_WAIVER
from tombolo.cli.demo.airflow_api import FINISHED, Airflow
from tombolo.cli.demo.demos import DIAGNOSIS, HOSPITALS, LENDING, WDBC
from tombolo.cli.demo.federation import Federation, lay_out
from tombolo.cli.demo.instance import Instance, free_ports
from tombolo.cli.demo.lenders import customers_of
from tombolo.cli.demo.progress import Display
from tombolo.cli.demo.running import start
from tombolo.cli.demo.supervise import Supervisor
from tombolo.fl_tasks.learning.vertical.roles import DEALER_WAIVER
from tombolo.fl_tasks.models.part import ModelPart
from tombolo.fl_tasks.models.reading import part_of_run
from tombolo.fl_tasks.models.tensors import to_file
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.join import invite, join
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate
from tombolo.storage.identity import PartyKeys

AGREEMENT = WDBC.agreement
ROUNDS, LEG = 6, 3
ASKED, DEALT = "asked", "dealt"
CLIENTS = ("north", "east", "south")
UNDISTURBED = "undisturbed"


@dataclass
class Airflows:
    """A federation with its Airflows up."""

    federation: Federation
    instances: dict[str, Instance]
    environments: dict[str, dict[str, str]]
    supervisor: Supervisor
    airflows: dict[str, Airflow]

    def context(self, party: str, agreement: str | None = None) -> PartyContext:
        return PartyContext.open(agreement or self.federation.agreement, self.federation.settings[party])

    def until(self, what: str, ready: Callable[[], Any], seconds: float = 120, pause: float = 0.3) -> Any:
        """Wait for a condition and return it; fails naming what was awaited."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = ready()
            if found:
                return found
            time.sleep(pause)
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

    def reached_round(self, party: str, run: str, round: int) -> bool:
        store = self.federation.home(party) / "store"
        return any(store.glob(f"to-*/*/{run}/{round:06d}"))

    def artifacts(self, party: str, run: str) -> dict[Path, str]:
        """Everything that a party's store holds of a run, with its hash, but the keys that settling destroys."""
        store, destroyed = self.federation.home(party) / "store", {"secret", "seeds", "own-seeds"}
        files = [path for path in store.rglob("[!.~]*") if path.is_file() and run in path.parts and not destroyed & {*path.parts}]
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def part(self, party: str, run: str, agreement: str | None = None) -> ModelPart:
        return part_of_run(self.context(party, agreement), run)

    def assert_unharmed(
        self, holders: Iterable[str], run: str, before: Mapping[str, Mapping[Path, str]], off: float = 1e-9
    ) -> None:
        """The model is the undisturbed run's, and nothing that was stored ``before`` has changed."""
        for party in holders:
            found, expected = (load(to_file(self.part(party, one).document)) for one in (run, UNDISTURBED))
            assert found.keys() == expected.keys() and found
            for name, one in found.items():
                np.testing.assert_allclose(one, expected[name], rtol=0, atol=off)
        self.assert_untouched(run, before)

    def assert_untouched(self, run: str, before: Mapping[str, Mapping[Path, str]]) -> None:
        """Nothing that was stored ``before`` has changed."""
        for party, stored in before.items():
            assert stored, party
            now = self.artifacts(party, run)
            assert {path: now[path] for path in stored} == stored


def undisturbed(federation: Federation) -> None:
    """The run to compare with: the same agreement and rows, in threads, without Airflow."""

    def work(party: str) -> None:
        for stage in (join, validate, align, train):
            stage(PartyContext.open(federation.agreement, federation.settings[party]), UNDISTURBED, FOREVER, progress=quiet)

    invite(PartyContext.open(federation.agreement, federation.settings[federation.initiator]), UNDISTURBED)
    with ThreadPoolExecutor() as pool:
        list(pool.map(work, federation.settings))


@contextmanager
def three_airflows(root: Path) -> Iterator[Airflows]:
    """The clinic, the laboratory and the notary; an undisturbed run is behind them."""
    document = yaml.safe_load((WDBC.terms / "agreement.yaml").read_text())
    task = {**document["task"], "parameters": {"rounds": ROUNDS, "l2": 0.01, "tolerance": 1e-9}}
    federation = lay_out(root / "demo", {"task": task, "leg": LEG, "quality": None}, inline_seconds=12)
    _split(federation)
    _add_agreement(federation, ASKED, {"task": task, "joining": "approval", "deadlines": {"message": 20, "join": 75, "run": 3600}})
    undisturbed(federation)
    with _up(root, federation) as airflows:
        yield airflows


@contextmanager
def hospital_airflows(root: Path) -> Iterator[Airflows]:
    """Three hospitals and the registry, so that every sum needs all three; an undisturbed run is behind them."""
    document = yaml.safe_load((HOSPITALS.terms / "agreement.yaml").read_text())
    task = {**document["task"], "parameters": {"rounds": 2 * ROUNDS, "l2": 0.01, "tolerance": 1e-12}}
    task["horizontal"]["step_seconds"] = 90
    parties = {name: one for name, one in document["parties"].items() if name in CLIENTS or one["role"] == "aggregator"}
    changes = {"parties": parties, "scores": list(CLIENTS), "task": task, "leg": 2 * ROUNDS, "quality": None}
    federation = lay_out(root / "demo", changes, inline_seconds=12, demo=HOSPITALS)
    undisturbed(federation)
    with _up(root, federation) as airflows:
        yield airflows


@contextmanager
def network_airflows(root: Path) -> Iterator[Airflows]:
    """The clinic's three again, with two agreements about a network: on ciphertexts, and on shares that the notary deals."""
    document = yaml.safe_load((WDBC.terms / "agreement.yaml").read_text())
    columns, drop = (document["tables"]["laboratory"][name] for name in ("columns", "drop"))
    kept = dict(list(columns.items())[:8])
    laboratory = {"columns": kept, "drop": [*drop, *(columns.keys() - kept.keys())]}
    network = {"protocol": "vertical-mlp", "label": document["task"]["label"], "network": {"bottom": 3, "hidden": [2]}}
    network |= {"parameters": {"rounds": ROUNDS, "step": 0.5, "test_fraction": 0.25}, "waivers": [EXPOSURE_WAIVER]}
    terms = {
        "tables": {**document["tables"], "laboratory": laboratory},
        "limits": {"minimum_batch": 100, "maximum_leverage": 0.5, "minimum_rows_per_weight": 10, "exposure": 16},
        "incentives": {"budget": 1000, "method": "volume"},
        "leg": LEG,
        "quality": None,
    }
    federation = lay_out(root / "demo", {**terms, "task": network}, inline_seconds=12)
    task = {**network, "engine": "dealer", "waivers": [DEALER_WAIVER, EXPOSURE_WAIVER]}
    _add_agreement(federation, DEALT, {**terms, "task": task})
    with _up(root, federation) as airflows:
        yield airflows


@contextmanager
def transfer_airflows(root: Path) -> Iterator[Airflows]:
    """The hospital and the clinic of the diagnosis; an undisturbed run is behind them."""
    document = yaml.safe_load((DIAGNOSIS.terms / "agreement.yaml").read_text())
    task = {**document["task"], "parameters": {"rounds": ROUNDS, "loss_change": 0.0}}
    federation = lay_out(root / "demo", {"task": task, "leg": LEG, "quality": None}, inline_seconds=12, demo=DIAGNOSIS)
    undisturbed(federation)
    with _up(root, federation) as airflows:
        yield airflows


@contextmanager
def lending_airflows(root: Path) -> Iterator[Airflows]:
    """A bank, three lenders of some hundred customers, and the register."""
    terms = yaml.safe_load((LENDING.terms / "agreement.yaml").read_text())["task"]
    terms["query"]["padding"] = 64
    federation = lay_out(root / "demo", {"task": terms}, inline_seconds=12, demo=LENDING)
    for party, customers in customers_of(600).items():
        customers.to_parquet(federation.home(party) / "customers.parquet", index=False)
    with _up(root, federation) as airflows:
        yield airflows


@contextmanager
def _up(root: Path, federation: Federation) -> Iterator[Airflows]:
    """Start everybody's Airflow, and stop them at the end."""
    ports = free_ports(len(federation.settings), 18080)
    instances = {
        party: Instance(party, federation.home(party) / "airflow", settings, port, "a password for tests")
        for (party, settings), port in zip(federation.settings.items(), ports, strict=True)
    }
    environments = {party: one.environment() for party, one in instances.items()}
    supervisor = Supervisor(root / "processes.json")
    try:
        show = Display(Console(quiet=True), None, [])
        airflows = start(federation.agreement, list(instances.values()), supervisor, show, environments)
        yield Airflows(federation, instances, environments, supervisor, airflows)
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
