"""Starts and stops the processes of several Airflows: each in a group of its own, known by process id and start time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from cli.demo.instance import Instance

COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
_GRACE = 15.0


class DidNotStart(Exception):
    """A process ended at start; the text names its log."""


class Supervisor:
    """The running components of all instances; ``register`` is the file that a later process stops them by."""

    def __init__(self, register: Path) -> None:
        self._register = register
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, instance: Instance, environment: Mapping[str, str], components: Iterable[str] = COMPONENTS) -> None:
        """Start components of one instance; their output goes to ``<home>/logs/<component>.log``."""
        for component in components:
            self.start_one(instance, environment, component)

    def start_one(self, instance: Instance, environment: Mapping[str, str], component: str) -> subprocess.Popen[bytes]:
        log = log_of(instance, component)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow", *COMPONENTS[component]],
                env=dict(environment),
                cwd=instance.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running[f"{instance.party}/{component}"] = process
        self._write()
        return process

    def process(self, instance: Instance, component: str) -> subprocess.Popen[bytes]:
        return self._running[f"{instance.party}/{component}"]

    def check(self) -> None:
        """Raise :class:`DidNotStart` where a component has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise DidNotStart(f"{name} ended with status {process.returncode}")

    def stop(self) -> None:
        """End everything that this supervisor started, with all descendants."""
        _end([(process.pid, _started(process.pid)) for process in self._running.values()])
        for process in self._running.values():
            process.wait()
        self._running.clear()
        self._register.unlink(missing_ok=True)

    def _write(self) -> None:
        entries = [{"name": name, "pid": one.pid, "started": _started(one.pid)} for name, one in self._running.items()]
        self._register.write_text(json.dumps(entries, indent=1))


def stop_registered(register: Path) -> int:
    """End what an earlier supervisor left running; returns how many processes it had started and still lived."""
    try:
        entries = json.loads(register.read_text())
    except FileNotFoundError:
        return 0
    alive = [
        (one["pid"], one["started"]) for one in entries if one["started"] and _started(one["pid"]) == one["started"]
    ]
    _end(alive)
    register.unlink(missing_ok=True)
    return len(alive)


def migrate(instance: Instance, environment: Mapping[str, str]) -> None:
    """Create an instance's metadata database."""
    log = log_of(instance, "migrate")
    log.parent.mkdir(parents=True, exist_ok=True)
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
    """Give ``target`` the still empty metadata database of ``source``."""
    shutil.copyfile(source.database, target.database)
    target.database.chmod(0o600)


def log_of(instance: Instance, component: str) -> Path:
    return instance.home / "logs" / f"{component}.log"


def _started(pid: int) -> float:
    """When a process started, 0 where there is none: a process id alone may be somebody else's by now."""
    import psutil

    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def _end(leaders: list[tuple[int, float]]) -> None:
    """Terminate processes with their descendants; whoever is left after a grace period is killed."""
    import psutil

    family: dict[int, psutil.Process] = {}
    for pid, started in leaders:
        try:
            leader = psutil.Process(pid)
            if started and leader.create_time() == started:
                family |= {one.pid: one for one in (leader, *leader.children(recursive=True))}
        except psutil.Error:
            continue
    for pid, _ in leaders:
        if pid in family:
            _signal_group(pid, signal.SIGTERM)
    _, left = psutil.wait_procs(list(family.values()), timeout=_GRACE)
    for one in left:
        try:
            one.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(left, timeout=5)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
