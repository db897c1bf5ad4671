"""A demo from beginning to end: lay out, start, train, predict, compare, report, stop."""

from __future__ import annotations

import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from cli.demo.airflow_api import Airflow
from cli.demo.asking import ask_lenders, show_answers
from cli.demo.demos import Demo
from cli.demo.federation import lay_out
from cli.demo.horizontal import lose_a_client, show_clients
from cli.demo.instance import USER, Instance, free_ports
from cli.demo.progress import Display, display
from cli.demo.runs import DemoFailed, Up
from cli.demo.supervise import DidNotStart, Supervisor, copy_database, log_of, migrate, stop_registered
from cli.demo.transfer import show_curve, transfer_and_diagnose
from cli.demo.vertical import train_and_predict

_START_LIMIT = 300.0


def run_demo(demo: Demo, keep: bool) -> int:
    """Run a demo; with ``keep`` its Airflows stay up. Returns the exit status."""
    console = Console()
    demo.root.parent.mkdir(parents=True, exist_ok=True)
    stop_registered(demo.register)
    shutil.rmtree(demo.root, ignore_errors=True)
    supervisor, began = Supervisor(demo.register), time.monotonic()
    good = False
    try:
        with _terminable():
            report = _demo(demo, keep, supervisor, console, began)
            if demo.asks:
                show_answers(report, console)
            else:
                from cli.simulation.report import show

                show(report, console)
            if demo.chart:
                _show_gains(report, demo.root, console)
            if demo.vanishes:
                show_clients(report, console)
            if demo.transfers:
                show_curve(report, demo.root, console)
            _show_instances(report["airflows"], None if keep else demo.up, console)
            good = True
    except (DemoFailed, DidNotStart) as error:
        console.print(f"[red]The demo failed:[/] {error}", highlight=False)
    except KeyboardInterrupt:
        console.print("Stopped.")
    finally:
        if not (keep and good):
            supervisor.stop()
    return 0 if good else 1


def _demo(demo: Demo, keep: bool, supervisor: Supervisor, console: Console, began: float) -> dict[str, Any]:
    from cli.simulation.report import build, write
    from contracts.agreement import Agreement

    parties = yaml.safe_load((demo.terms / "agreement.yaml").read_text(encoding="utf-8"))["parties"]
    with display(console, parties) as show:
        show.say(f"laying out {len(parties)} organisations: keys, stores, tables, a signed agreement")
        federation = lay_out(demo.root, demo=demo)
        ports = free_ports(len(federation.settings), demo.first_port)
        instances = [
            Instance(party, federation.home(party) / "airflow", settings, port, secrets.token_urlsafe(9))
            for (party, settings), port in zip(federation.settings.items(), ports, strict=True)
        ]
        airflows = start(demo.agreement, instances, supervisor, show, {one.party: one.environment() for one in instances})
        started = time.monotonic() - began
        up = Up(federation, airflows, supervisor, show)
        told = _story(up, demo)
        folder = federation.home(federation.initiator) / "federations" / federation.agreement
        report = (dict if demo.asks else build)(
            agreement=demo.agreement,
            protocol=Agreement.load(folder).terms.task.protocol,
            **{**told, "seconds": {"starting": started, **told["seconds"]}},
            airflows={one.party: _login(one, keep) for one in instances if one.party in up.airflows},
        )
        report["seconds"]["demo"] = round(time.monotonic() - began, 3)
        write(report, demo.root / "report.json")
        return report


def _story(up: Up, demo: Demo) -> dict[str, Any]:
    """What happens once all is up; returns what the report says of it."""
    if demo.asks:
        return ask_lenders(up)
    if demo.transfers:
        return transfer_and_diagnose(up)
    return lose_a_client(up, demo) if demo.vanishes else train_and_predict(up)


def _login(one: Instance, keep: bool) -> dict[str, str]:
    """Where an Airflow is; a password only where it opens something afterwards."""
    return {"url": one.url, "user": USER, **({"password": one.password} if keep else {})}


def start(
    agreement: str, instances: list[Instance], supervisor: Supervisor, show: Display, environments: Mapping[str, Mapping[str, str]]
) -> dict[str, Airflow]:
    """Start all instances and wait until every one is healthy and has the agreement's DAGs. Raises :class:`DidNotStart`."""
    for one in instances:
        one.prepare()
    show.say("making the metadata databases")
    first = instances[0]
    template = first.home.parent.parent.with_name(f"airflow-{version('apache-airflow-core')}.db")
    if template.exists():
        shutil.copyfile(template, first.database)
    else:
        migrate(first, environments[first.party])
        shutil.copyfile(first.database, template)
    for one in instances[1:]:
        copy_database(first, one)
    show.say(f"starting {len(instances)} Airflows")
    supervisor.start({one.party: (one, environments[one.party]) for one in instances})
    airflows = {one.party: Airflow(one.url, USER, one.password) for one in instances}
    for party, airflow in airflows.items():
        show.party(party, f"starting at {airflow.url}")
    for party, airflow in airflows.items():
        _until(lambda airflow=airflow: airflow.healthy(), party, instances, supervisor)
        show.party(party, "healthy")
    for party, airflow in airflows.items():
        _until(
            lambda airflow=airflow: {f"{agreement}_train", f"{agreement}_index"} & set(airflow.dags()), party, instances, supervisor
        )
        show.party(party, "ready")
    return airflows


def _until(ready: Callable[[], object], party: str, instances: list[Instance], supervisor: Supervisor) -> None:
    until = time.monotonic() + _START_LIMIT
    while not ready():
        supervisor.check()
        if time.monotonic() > until:
            logs = log_of(next(one for one in instances if one.party == party), "api-server").parent
            raise DidNotStart(f"{party} is not ready after {_START_LIMIT:.0f} s; see {logs}")
        time.sleep(0.5)


def _show_instances(airflows: Mapping[str, Mapping[str, str]], stopped: str | None, console: Console) -> None:
    """Where the Airflows are and how to log in or, if they are stopped, the command that leaves them running."""
    from rich.table import Table

    if stopped:
        console.print(f"The Airflows are stopped; `{stopped}` leaves them running.", highlight=False)
        return
    table = Table(title="The Airflows", title_justify="left")
    for column in ("party", "address", "user", "password"):
        table.add_column(column)
    for party, one in airflows.items():
        table.add_row(party, one["url"], one["user"], one["password"])
    console.print(table)
    console.print("They keep running; `make down` stops them.")


def _show_gains(report: Mapping[str, Any], folder: Path, console: Console) -> None:
    """The gains of the federated model over the guest's own, as bars and as a picture in ``folder``."""
    from cli.demo.gains import show
    from fl_tasks.models.gains import PICTURE, gains_picture

    curves = {"together": report["gains"]["federated"], "the guest alone": report["gains"]["guest_only"]}
    (folder / PICTURE).write_text(gains_picture(curves, f"Gains of {report['agreement']} on held-out rows"), encoding="utf-8")
    show(report, console)
    console.print(f"The chart as a picture: {folder / PICTURE}", highlight=False, soft_wrap=True)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let a plain termination end the demo as Ctrl-C does, so that nothing is left running."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
