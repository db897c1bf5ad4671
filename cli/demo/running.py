"""Runs a demo: lay out, start, train, predict, compare, report, stop."""

from __future__ import annotations

import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

import yaml
from rich.console import Console

from tombolo.cli.demo.airflow_api import Airflow
from tombolo.cli.demo.demos import Demo
from tombolo.cli.demo.federation import lay_out
from tombolo.cli.demo.instance import USER, Instance, free_ports
from tombolo.cli.demo.progress import Display, display
from tombolo.cli.demo.runs import DemoFailed, Up
from tombolo.cli.demo.stories import STORIES
from tombolo.cli.demo.supervise import (
    DidNotStart,
    Supervisor,
    copy_database,
    log_of,
    migrate,
    stop_registered,
)

_START_LIMIT = 300.0


def run_demo(demo: Demo, keep: bool) -> int:
    """Run a demo. With ``keep``, its Airflows keep running afterwards. Returns the exit status."""
    console = Console()
    demo.root.parent.mkdir(parents=True, exist_ok=True)
    stop_registered(demo.register)
    shutil.rmtree(demo.root, ignore_errors=True)
    supervisor, began = Supervisor(demo.register), time.monotonic()
    good = False
    try:
        with _terminable():
            report = _demo(demo, keep, supervisor, console, began)
            for show in STORIES[demo.agreement].shows:
                show(report, demo.root, console)
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
    from tombolo.agreements.agreement import Agreement
    from tombolo.cli.simulation.report import write

    story = STORIES[demo.agreement]
    parties = yaml.safe_load((demo.terms / "agreement.yaml").read_text(encoding="utf-8"))["parties"]
    with display(console, parties) as show:
        show.say(f"laying out {len(parties)} organisations: keys, stores, tables, a signed agreement")
        federation = lay_out(demo.root, demo=demo)
        ports = free_ports(len(federation.settings), demo.first_port)
        instances = [
            Instance(party, federation.home(party) / "airflow", settings, port, secrets.token_urlsafe(9))
            for (party, settings), port in zip(federation.settings.items(), ports, strict=True)
        ]
        airflows = start(
            demo.agreement, instances, supervisor, show, {instance.party: instance.environment() for instance in instances}
        )
        started = time.monotonic() - began
        told = story.tell(up := Up(federation, airflows, supervisor, show))
        folder = federation.home(federation.initiator) / "federations" / federation.agreement
        report = story.report(
            agreement=demo.agreement,
            protocol=Agreement.load(folder).terms.task.protocol,
            **{**told, "seconds": {"starting": started, **told["seconds"]}},
            airflows={instance.party: _login(instance, keep) for instance in instances if instance.party in up.airflows},
        )
        report["seconds"]["demo"] = round(time.monotonic() - began, 3)
        write(report, demo.root / "report.json")
        return report


def _login(instance: Instance, keep: bool) -> dict[str, str]:
    """The address and login of an Airflow; with the password only if the Airflow keeps running."""
    return {"url": instance.url, "user": USER, **({"password": instance.password} if keep else {})}


def start(
    agreement: str, instances: list[Instance], supervisor: Supervisor, show: Display, environments: Mapping[str, Mapping[str, str]]
) -> dict[str, Airflow]:
    """Start all instances, and wait until each is healthy and has the agreement's DAGs. Raises :class:`DidNotStart`."""
    for instance in instances:
        instance.prepare()
    show.say("making the metadata databases")
    first = instances[0]
    template = first.home.parent.parent.with_name(f"airflow-{version('apache-airflow-core')}.db")
    if template.exists():
        shutil.copyfile(template, first.database)
    else:
        migrate(first, environments[first.party])
        shutil.copyfile(first.database, template)
    for instance in instances[1:]:
        copy_database(first, instance)
    show.say(f"starting {len(instances)} Airflows")
    supervisor.start({instance.party: (instance, environments[instance.party]) for instance in instances})
    airflows = {instance.party: Airflow(instance.url, USER, instance.password) for instance in instances}
    for party, airflow in airflows.items():
        show.party(party, f"starting at {airflow.url}")
    for party, airflow in airflows.items():
        _until(partial(_healthy, airflow), party, instances, supervisor)
        show.party(party, "healthy")
    for party, airflow in airflows.items():
        _until(partial(_has_dag, airflow, agreement), party, instances, supervisor)
        show.party(party, "ready")
    return airflows


def _healthy(airflow: Airflow) -> bool:
    return airflow.healthy()


def _has_dag(airflow: Airflow, agreement: str) -> bool:
    return not {f"{agreement}_train", f"{agreement}_index"}.isdisjoint(airflow.dags())


def _until(ready: Callable[[], object], party: str, instances: list[Instance], supervisor: Supervisor) -> None:
    until = time.monotonic() + _START_LIMIT
    while not ready():
        supervisor.check()
        if time.monotonic() > until:
            logs = log_of(next(instance for instance in instances if instance.party == party), "api-server").parent
            raise DidNotStart(f"the Airflow of {party} is not ready after {_START_LIMIT:.0f} s; see the logs in {logs}")
        time.sleep(0.5)


def _show_instances(airflows: Mapping[str, Mapping[str, str]], stopped: str | None, console: Console) -> None:
    """Print the addresses and logins of the Airflows. If they are stopped, print the command that keeps them running."""
    from rich.table import Table

    if stopped:
        console.print(f"The Airflows are stopped. `{stopped}` runs the demo again and keeps them running.", highlight=False)
        return
    table = Table(title="The Airflows", title_justify="left")
    for column in ("party", "address", "user", "password"):
        table.add_column(column)
    for party, login in airflows.items():
        table.add_row(party, login["url"], login["user"], login["password"])
    console.print(table)
    console.print("The Airflows keep running. Stop them with `make down`.")


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does, so that no process is left running."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
