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

from cli.demo.airflow_api import FINISHED, Airflow
from cli.demo.demos import Demo
from cli.demo.federation import Federation, lay_out
from cli.demo.following import Followed, follow
from cli.demo.instance import USER, Instance, free_ports
from cli.demo.progress import Display, display
from cli.demo.supervise import DidNotStart, Supervisor, copy_database, log_of, migrate, stop_registered

_START_LIMIT, _RUN_LIMIT = 300.0, 1500.0


class DemoFailed(Exception):
    """The demo did not get through; the text says where to look."""


def run_demo(demo: Demo, keep: bool) -> int:
    """Run a demo; with ``keep`` the three Airflows stay up. Returns the exit status."""
    console = Console()
    demo.root.parent.mkdir(parents=True, exist_ok=True)
    stop_registered(demo.register)
    shutil.rmtree(demo.root, ignore_errors=True)
    supervisor, began = Supervisor(demo.register), time.monotonic()
    good = False
    try:
        with _terminable():
            report = _demo(demo, supervisor, console, began)
            from cli.simulation.report import show

            show(report, console)
            if demo.chart:
                _show_gains(report, demo.root, console)
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


def _demo(demo: Demo, supervisor: Supervisor, console: Console, began: float) -> dict[str, Any]:
    from cli.simulation.comparison import compare
    from cli.simulation.report import build, write

    with display(console, yaml.safe_load((demo.terms / "agreement.yaml").read_text(encoding="utf-8"))["parties"]) as show:
        show.say("laying out three organisations: keys, stores, tables, a signed agreement")
        federation = lay_out(demo.root, demo=demo)
        ports = free_ports(len(federation.settings), demo.first_port)
        instances = [
            Instance(party, federation.home(party) / "airflow", settings, port, secrets.token_urlsafe(9))
            for (party, settings), port in zip(federation.settings.items(), ports, strict=True)
        ]
        airflows = start(demo.agreement, instances, supervisor, show, {one.party: one.environment() for one in instances})
        started = time.monotonic() - began
        training = _federated_run(airflows, federation, "train", {}, supervisor, show)
        prediction = _federated_run(airflows, federation, "predict", {}, supervisor, show)
        _all_well(airflows)
        guest = federation.guest
        evaluated = airflows[guest].xcom(training.dag, training.runs[guest], "evaluate")
        settled = airflows[guest].xcom(training.dag, training.runs[guest], "settle")
        predicted = airflows[guest].xcom(prediction.dag, prediction.runs[guest], "predict")
        show.say("training the pooled and the guest's own model for comparison")
        run = training.runs[next(party for party in airflows if party != guest)]
        compared = compare(demo.agreement, federation.settings, run)
        report = build(
            agreement=demo.agreement,
            protocol=_protocol(federation),
            run=run,
            federated=evaluated["metrics"],
            pooled=compared.pooled,
            alone=compared.alone,
            alone_as=compared.alone_as,
            gains=compared.gains,
            margins=compared.margins,
            rows=compared.rows,
            rounds=training.rounds,
            losses=training.losses,
            seconds={"starting": started, **training.seconds(guest), "prediction": prediction.seconds(guest)["total"]},
            settlement=settled,
            bytes_sent=_bytes_sent(federation, training.runs, prediction.runs),
            predicted_rows=predicted["rows"],
            airflows={one.party: {"url": one.url, "user": USER, "password": one.password} for one in instances},
        )
        report["seconds"]["demo"] = round(time.monotonic() - began, 3)
        write(report, demo.root / "report.json")
        return report


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
    show.say("starting three Airflows: " + ", ".join(f"{one.party} {one.url}" for one in instances))
    supervisor.start({one.party: (one, environments[one.party]) for one in instances})
    airflows = {one.party: Airflow(one.url, USER, one.password) for one in instances}
    for party, airflow in airflows.items():
        show.party(party, "starting")
        _until(lambda airflow=airflow: airflow.healthy(), party, instances, supervisor)
        show.party(party, "healthy")
    for party, airflow in airflows.items():
        _until(lambda airflow=airflow: f"{agreement}_train" in airflow.dags(), party, instances, supervisor)
        show.party(party, "ready")
    return airflows


def _until(ready: Callable[[], bool], party: str, instances: list[Instance], supervisor: Supervisor) -> None:
    until = time.monotonic() + _START_LIMIT
    while not ready():
        supervisor.check()
        if time.monotonic() > until:
            logs = log_of(next(one for one in instances if one.party == party), "api-server").parent
            raise DidNotStart(f"{party} is not ready after {_START_LIMIT:.0f} s; see {logs}")
        time.sleep(0.5)


def _federated_run(
    airflows: Mapping[str, Airflow],
    federation: Federation,
    kind: str,
    conf: Mapping[str, Any],
    supervisor: Supervisor,
    show: Display,
) -> Followed:
    """Trigger the guest's DAG as a person would, and follow the run at every party. Raises :class:`DemoFailed`."""
    dag, guest = f"{federation.agreement}_{kind}", federation.guest
    begun = f"demo-{time.strftime('%Y%m%d-%H%M%S')}"
    show.say(f"triggering {dag} at the {guest} through Airflow's REST API")
    own = airflows[guest].trigger(dag, conf, begun)
    others = begun if kind == "train" else f"{kind}.{begun}"
    runs = {party: own if party == guest else others for party in airflows}
    followed = follow(airflows, guest, dag, runs, show, _RUN_LIMIT)
    supervisor.check()
    if not followed.succeeded:
        states = ", ".join(f"{party} {state}" for party, state in followed.states.items())
        failed = "; ".join(followed.failures())
        logs = federation.home("<party>") / "airflow" / "logs"
        raise DemoFailed(f"{dag}: {states}. {failed}\nThe tasks' logs are under {logs}")
    return followed


def _all_well(airflows: Mapping[str, Airflow]) -> None:
    """Every DAG run of every party, the inboxes' too, must have succeeded."""
    for party, airflow in airflows.items():
        until = time.monotonic() + 60
        while any(run["state"] not in FINISHED for run in airflow.runs()) and time.monotonic() < until:
            time.sleep(1)
        bad = [f"{run['dag_id']} {run['dag_run_id']} {run['state']}" for run in airflow.runs() if run["state"] != "success"]
        if bad:
            raise DemoFailed(f"{party}: {'; '.join(bad)}")


def _protocol(federation: Federation) -> str:
    from contracts.agreement import Agreement

    return Agreement.load(federation.home(federation.guest) / "federations" / federation.agreement).terms.task.protocol


def _bytes_sent(federation: Federation, *runs: Mapping[str, str]) -> dict[str, int]:
    """What each party's books say it sent, over both runs."""
    from fl_tasks.workplace import Workplace

    sent = {}
    for party, settings in federation.settings.items():
        place = Workplace.open(federation.agreement, settings)
        names = {run for by_party in runs for name, run in by_party.items() if name != federation.guest}
        sent[party] = sum(sum(place.books(run).bytes_to().values()) for run in names)
    return sent


def _show_instances(airflows: Mapping[str, Mapping[str, str]], stopped: str | None, console: Console) -> None:
    """Where the Airflows are or, if they are stopped, the command that leaves them running."""
    from rich.table import Table

    table = Table(
        title="The three Airflows" + (f" (stopped now; `{stopped}` leaves them running)" if stopped else ""),
        title_justify="left",
    )
    for column in ("party", "address", "user", "password"):
        table.add_column(column)
    for party, one in airflows.items():
        table.add_row(party, one["url"], one["user"], one["password"])
    console.print(table)
    if not stopped:
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
