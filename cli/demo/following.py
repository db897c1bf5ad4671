"""Follows one run in the Airflows of all parties through their REST APIs, until it has ended at every party that still exists."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tombolo.cli.demo.airflow_api import FINISHED, Airflow
from tombolo.cli.demo.progress import Display

VANISHED = "vanished"
"""State of a run at a party whose Airflow was killed."""
_ENDED = (*FINISHED, VANISHED)
_EVERY, _BETWEEN = 1.0, 0.1
_AFTER_END = 60.0


@dataclass
class Followed:
    """What happened in one run: DAG run ids, final states and task instances by party, and the initiator's loss by round."""

    dag: str
    runs: Mapping[str, str]
    states: dict[str, str]
    tasks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    rounds: int = 0

    @property
    def succeeded(self) -> bool:
        """Whether the run succeeded at every party whose Airflow was not killed."""
        return all(state in ("success", VANISHED) for state in self.states.values())

    def failures(self) -> list[str]:
        """One line per failed task: party and task."""
        return [
            f"{party}: {task['task_id']}"
            for party, tasks in self.tasks.items()
            for task in tasks
            if task["state"] == "failed" and task["task_id"] != "abort"
        ]

    def seconds(self, party: str) -> dict[str, float]:
        """Seconds of each stage at one party, from its first start to its last end; ``total`` is over all parties."""
        spans: dict[str, list[tuple[float, float]]] = {}
        for task in sorted(self.tasks[party], key=lambda task: task["start_date"] or ""):
            if task["start_date"] and task["end_date"] and task["state"] == "success":
                spans.setdefault(task["task_id"].split(".")[0], []).append((_at(task["start_date"]), _at(task["end_date"])))
        stages = {name: max(end for _, end in span) - min(begin for begin, _ in span) for name, span in spans.items()}
        every = [task for tasks in self.tasks.values() for task in tasks if task["start_date"] and task["end_date"]]
        total = max(_at(task["end_date"]) for task in every) - min(_at(task["start_date"]) for task in every)
        return {**stages, "total": total}


def follow(
    airflows: Mapping[str, Airflow],
    initiator: str,
    dag: str,
    runs: Mapping[str, str],
    show: Display,
    limit: float,
    leaves: Callable[[], str | None] = lambda: None,
) -> Followed:
    """Wait until a run has ended at every party. ``runs`` has each party's DAG run id; the initiator's may have characters that
    the others do not have. Gives up after ``limit`` seconds, or one minute after a party has failed.

    ``leaves`` is called again and again. It returns the name of a party whose Airflow was killed since the last call, or None.
    """
    followed = Followed(dag, runs, dict.fromkeys(airflows, "missing"))
    until, heard = time.monotonic() + limit, set[str]()
    while time.monotonic() < until:
        for party, airflow in airflows.items():
            _part(followed, leaves, show)
            if followed.states[party] in _ENDED:
                continue
            answer = airflow.run(dag, runs[party])
            if answer is None:
                continue
            followed.states[party] = answer["state"]
            followed.tasks[party] = airflow.tasks(dag, runs[party])
            if party == initiator:
                _listen(airflow, followed, party, runs[party], heard)
            show.party(party, _doing(followed, party), *_done(followed.tasks[party]))
        if all(state in _ENDED for state in followed.states.values()):
            break
        if "failed" in followed.states.values():
            until = min(until, time.monotonic() + _AFTER_END)
        again = time.monotonic() + _EVERY
        while time.monotonic() < again:
            _part(followed, leaves, show)
            time.sleep(_BETWEEN)
    return followed


def _part(followed: Followed, leaves: Callable[[], str | None], show: Display) -> None:
    """Mark the party whose Airflow was killed, if there is one."""
    party = leaves()
    if party is not None:
        followed.states[party] = VANISHED
        show.party(party, VANISHED)


def _listen(airflow: Airflow, followed: Followed, party: str, run: str, heard: set[str]) -> None:
    """Read the rounds and losses of the initiator's legs that have ended since the last call."""
    ended = {
        task["task_id"] for task in followed.tasks[party] if task["task_id"].startswith("train.") and task["state"] == "success"
    }
    for task in sorted(ended - heard):
        facts = airflow.xcom(followed.dag, run, task)
        if isinstance(facts, dict):
            heard.add(task)
            followed.rounds = max(followed.rounds, facts["round"])
            followed.losses = max(followed.losses, list(facts.get("loss") or []), key=len)


def _doing(followed: Followed, party: str) -> str:
    """The tasks that are running or waiting, and the round and loss as soon as they are known."""
    state, tasks = followed.states[party], followed.tasks[party]
    if state in FINISHED:
        text = state
    else:
        active = [task for task in tasks if task["state"] in ("running", "deferred", "queued", "up_for_retry", "awaiting_input")]
        text = ", ".join(
            task["task_id"] if task["state"] == "running" else f"{task['task_id']} ({task['state']})" for task in active
        )
    loss = f", loss {followed.losses[-1]:.5f}" if followed.losses else ""
    rounds = f"; round {followed.rounds}{loss}" if followed.rounds else ""
    return (text or "between tasks") + rounds


def _done(tasks: list[dict[str, Any]]) -> tuple[int, int]:
    wanted = [task for task in tasks if task["state"] != "skipped" and task["task_id"] != "abort"]
    return sum(task["state"] == "success" for task in wanted), len(wanted)


def _at(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
