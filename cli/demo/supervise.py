"""Starts and stops the processes of several Airflows. Each has its own process group and is known by process id and start time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from tombolo.cli.demo.instance import REPOSITORY, Instance

COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
_GRACE = 15.0


class DidNotStart(Exception):
    """A process ended at its start. The text names its log."""


class Supervisor:
    """The running components of all instances. ``register`` is a file that lists them, so that a later process can stop them.

    The launcher starts its imports when the supervisor is created, while the demo still lays out folders.
    """

    def __init__(self, register: Path) -> None:
        self._register = register
        self._running: dict[str, psutil.Process] = {}
        self._launcher = self._launch()
        self._write()

    def start(self, plan: Mapping[str, tuple[Instance, Mapping[str, str]]]) -> None:
        """Start all components of the instances in the plan. Their output goes to ``<home>/logs/<component>.log``."""
        document = [
            {
                "environment": dict(environment),
                "cwd": str(instance.home),
                "components": [
                    {"name": f"{party}/{name}", "arguments": arguments, "log": str(_open_log(instance, name))}
                    for name, arguments in COMPONENTS.items()
                ],
            }
            for party, (instance, environment) in plan.items()
        ]
        assert self._launcher.stdin is not None and self._launcher.stdout is not None
        self._launcher.stdin.write(json.dumps(document).encode() + b"\n")
        self._launcher.stdin.flush()
        for _ in range(sum(len(instance["components"]) for instance in document)):
            line = self._launcher.stdout.readline()
            if not line:
                raise DidNotStart(f"the launcher ended; see {self._launcher_log}")
            started = json.loads(line)
            self._running[started["name"]] = psutil.Process(started["pid"])
            self._write()

    def restart(self, instance: Instance, environment: Mapping[str, str], component: str) -> None:
        """Start one component again, without the launcher."""
        with _open_log(instance, component).open("ab") as output:
            self._running[f"{instance.party}/{component}"] = psutil.Popen(
                [sys.executable, "-m", "airflow", *COMPONENTS[component]],
                env=dict(environment),
                cwd=instance.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._write()

    def process(self, instance: Instance, component: str) -> psutil.Process:
        """The process of one component."""
        return self._running[f"{instance.party}/{component}"]

    def check(self) -> None:
        """Raise :class:`DidNotStart` if a component has ended."""
        for name, process in self._running.items():
            if not _alive(process):
                raise DidNotStart(f"{name} has ended; see its log in the logs folder of that Airflow")

    def kill(self, party: str) -> int:
        """Kill all processes of one party's Airflow without warning (SIGKILL), as a power cut does. Returns how many there were.

        After that, :meth:`check` ignores this Airflow.
        """
        names = [name for name in self._running if name.partition("/")[0] == party]
        doomed = [process for name in names for process in _frozen(self._running[name])]
        for process in reversed(
            doomed
        ):  # children first: if this is interrupted, the rest can still be found through their parents
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(doomed, timeout=_GRACE)
        for name in names:
            del self._running[name]
        self._write()
        return len(doomed)

    def stop(self) -> None:
        """End all processes that this supervisor started, with all their descendants."""
        launcher = [psutil.Process(self._launcher.pid)] if self._launcher.poll() is None else []
        _end([*self._running.values(), *launcher])
        self._launcher.communicate()
        self._running.clear()
        self._register.unlink(missing_ok=True)

    @property
    def _launcher_log(self) -> Path:
        return self._register.with_suffix(".log")

    def _launch(self) -> subprocess.Popen[bytes]:
        with self._launcher_log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "tombolo.cli.demo.launcher"],
                env=Instance.shared_environment(),
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
            )

    def _write(self) -> None:
        running = {**self._running, "launcher": psutil.Process(self._launcher.pid)}
        entries = []
        for name, process in running.items():
            with contextlib.suppress(psutil.Error):
                entries.append({"name": name, "pid": process.pid, "started": process.create_time()})
        self._register.write_text(json.dumps(entries, indent=1))


def stop_registered(register: Path) -> int:
    """End the processes that an earlier supervisor left running. Returns how many were still alive."""
    try:
        entries = json.loads(register.read_text())
    except FileNotFoundError:
        return 0
    alive = []
    for entry in entries:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(entry["pid"])
            if process.create_time() == entry["started"]:  # the process id may belong to another program by now
                alive.append(process)
    _end(alive)
    register.unlink(missing_ok=True)
    return len(alive)


def migrate(instance: Instance, environment: Mapping[str, str]) -> None:
    """Create an instance's metadata database."""
    log = _open_log(instance, "migrate")
    with log.open("ab") as output:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env=dict(environment),
            cwd=instance.home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        raise DidNotStart(f"the metadata database could not be made; see {log}")


def copy_database(source: Instance, target: Instance) -> None:
    """Copy the metadata database of ``source``, which is still empty, to ``target``."""
    shutil.copyfile(source.database, target.database)
    target.database.chmod(0o600)


def log_of(instance: Instance, component: str) -> Path:
    """The log file of a component."""
    return instance.home / "logs" / f"{component}.log"


def _open_log(instance: Instance, component: str) -> Path:
    log = log_of(instance, component)
    log.parent.mkdir(parents=True, exist_ok=True)
    return log


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _frozen(leader: psutil.Process) -> list[psutil.Process]:
    """A process and all its descendants. Each is suspended before its children are listed, so that it cannot start new ones."""
    try:
        leader.suspend()
        children = leader.children()
    except psutil.Error:
        return []
    return [leader, *(process for child in children for process in _frozen(child))]


def _end(leaders: list[psutil.Process]) -> None:
    """Terminate processes and their descendants. Those that still run after a grace period are killed."""
    family: dict[int, psutil.Process] = {}
    for leader in leaders:
        with contextlib.suppress(psutil.Error):
            family |= {process.pid: process for process in (leader, *leader.children(recursive=True))}
    for leader in leaders:
        if leader.pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader.pid, signal.SIGTERM)
    _, left = psutil.wait_procs(list(family.values()), timeout=_GRACE)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=5)
