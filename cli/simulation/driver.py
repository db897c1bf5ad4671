"""Starts one process per party, reads their events, and stops all processes when one fails."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_GRACE_SECONDS = 20.0
_PEER_ABORTED = "TMB-EXCH-004"


class RunFailed(Exception):
    """A party failed. The text is one line for the user."""


@dataclass
class Outcome:
    """What one party reported: seconds and result per stage, bytes sent per peer, artifacts sent."""

    seconds: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    bytes_to: dict[str, int] = field(default_factory=dict)
    artifacts: int = 0


Listener = Callable[[str, Mapping[str, Any]], None]


def drive(settings: Mapping[str, Path], agreement: str, run: str, listen: Listener) -> dict[str, Outcome]:
    """Run all parties (name to settings file) through one run; ``listen(party, event)`` is called with every event.

    Each party's log is written next to its settings file. Raises :class:`RunFailed` with the first failure that no other
    party caused. No process is left running.
    """
    events: queue.Queue[tuple[str, dict[str, Any] | None]] = queue.Queue()
    outcomes = {party: Outcome() for party in settings}
    failures: list[tuple[str, dict[str, Any]]] = []
    with _processes(settings, agreement, run) as processes:
        for party, process in processes.items():
            threading.Thread(target=_follow, args=(party, process, events), daemon=True).start()
        running, deadline = set(processes), float("inf")
        while running and time.monotonic() < deadline:
            try:
                party, event = events.get(timeout=1.0)
            except queue.Empty:
                continue
            if event is None:
                running.discard(party)
                status = processes[party].wait()
                if status != 0 and all(name != party for name, _ in failures):
                    failures.append((party, {"code": None, "text": f"its process ended with status {status}"}))
            elif event["event"] == "error":
                failures.append((party, event))
            else:
                _book(outcomes[party], event)
                listen(party, event)
            if failures:
                deadline = min(deadline, time.monotonic() + _GRACE_SECONDS)
    if failures:
        raise RunFailed(_reason(failures, settings))
    return outcomes


@contextmanager
def _processes(settings: Mapping[str, Path], agreement: str, run: str) -> Iterator[dict[str, subprocess.Popen[str]]]:
    processes: dict[str, subprocess.Popen[str]] = {}
    try:
        for party, file in settings.items():
            with open(file.parent / "log.txt", "a", encoding="utf-8") as log:
                processes[party] = subprocess.Popen(
                    [sys.executable, "-m", "tombolo.cli.simulation.party", str(file), agreement, run],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
        yield processes
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.terminate()
        for process in processes.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _follow(party: str, process: subprocess.Popen[str], events: queue.Queue[tuple[str, dict[str, Any] | None]]) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            events.put((party, json.loads(line)))
    events.put((party, None))


def _book(outcome: Outcome, event: Mapping[str, Any]) -> None:
    match event["event"]:
        case "open":
            outcome.seconds["open"] = event["seconds"]
        case "done":
            outcome.seconds[event["stage"]] = event["seconds"]
            outcome.cpu[event["stage"]] = event["cpu"]
            outcome.results[event["stage"]] = event["result"]
        case "end":
            outcome.bytes_to, outcome.artifacts = dict(event["bytes_to"]), event["artifacts"]


def _reason(failures: list[tuple[str, dict[str, Any]]], settings: Mapping[str, Path]) -> str:
    """The first failure that was not caused by another party's abort, as one line."""
    party, event = next(((party, event) for party, event in failures if event["code"] != _PEER_ABORTED), failures[0])
    if event["code"] is not None:
        return str(event["text"]).replace("\n", " ")
    return f"party {party}: {event['text']}; its log is {settings[party].parent / 'log.txt'}"
