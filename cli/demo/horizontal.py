"""The story of the demo over rows: a client's whole Airflow is killed in mid-training, and the others finish without it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tombolo.cli.demo.airflow_api import FINISHED
from tombolo.cli.demo.following import Followed
from tombolo.cli.demo.runs import DemoFailed, Up, bytes_sent
from tombolo.storage.roles import CLIENT

VANISHES, ROUNDS_BEFORE = "west", 3
"""Who is lost, when it has begun its first round after so many."""
_SCORE_LIMIT = 180.0


class Vanishing:
    """Kills a client's Airflow when it has sent the first artifact of the round after ``rounds`` (SIGKILL, all processes)."""

    def __init__(self, up: Up, client: str, rounds: int) -> None:
        self._up, self._client, self._round = up, client, rounds + 1
        self.moment: dict[str, Any] | None = None

    def __call__(self, run: str) -> str | None:
        """The client's name, once: when it has gone just now."""
        store = self._up.federation.home(self._client) / "store"
        if self.moment is not None or not any(store.glob(f"to-*/*/{run}/{self._round:06d}")):
            return None
        processes = self._up.supervisor.kill(self._client)
        self.moment = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "round": self._round, "processes": processes}
        self._up.show.say(f"{self._client} is killed in round {self._round}: {processes} processes, no farewell")
        return self._client


def lose_a_client(up: Up) -> dict[str, Any]:
    """Train with all, lose one, finish and score with the others; returns what the report says. Raises DemoFailed."""
    vanishing = Vanishing(up, VANISHES, ROUNDS_BEFORE)
    training = up.run("train", vanishing)
    if vanishing.moment is None:
        raise DemoFailed(f"training was over before {VANISHES} could vanish")
    del up.airflows[VANISHES]
    scored = _score(up)
    up.all_well()
    up.show.say("training the pooled models and each hospital's own for comparison")
    initiator = up.federation.initiator
    clients = [party for party, role in up.federation.roles.items() if role == CLIENT]
    finished = [client for client in clients if training.states[client] == "success"]
    return {
        **up.came_of(training, [VANISHES]),
        "seconds": {**training.seconds(initiator), "prediction": scored.pop("seconds")},
        "bytes_sent": bytes_sent(up.federation, training.runs),
        "predicted_rows": sum(scored["rows"].values()),
        "clients": {
            "started": clients,
            "finished": finished,
            "vanished": {VANISHES: vanishing.moment},
            "predicted_rows": scored["rows"],
            "sums": _sums(up, training),
        },
    }


def _score(up: Up) -> dict[str, Any]:
    """Each client scores its own new patients, for itself; rows by client, and seconds in all. Raises DemoFailed."""
    dag, began, rows = f"{up.federation.agreement}_score", time.monotonic(), {}
    clients = [party for party in up.airflows if party != up.federation.initiator]
    up.show.say(f"triggering {dag} at {', '.join(clients)}")
    runs = {party: up.airflows[party].trigger(dag, {}) for party in clients}
    for party, run in runs.items():
        state = up.airflows[party].wait_run(dag, run, _SCORE_LIMIT)
        up.show.party(party, f"scored: {state}" if state in FINISHED else f"scoring: {state}")
        if state != "success":
            raise DemoFailed(f"{dag} at {party}: {state}; its log is under {up.federation.home(party) / 'airflow' / 'logs'}")
        rows[party] = up.airflows[party].xcom(dag, run, "score")["rows"]
    return {"rows": rows, "seconds": time.monotonic() - began}


def _sums(up: Up, training: Followed) -> list[dict[str, Any]]:
    """Who was in which sums, from the aggregator's lists."""
    from tombolo.fl_tasks.learning.horizontal.attendance import cohorts
    from tombolo.fl_tasks.runtime.context import PartyContext

    context = PartyContext.open(up.federation.agreement, up.federation.settings[up.federation.initiator])
    name = next(run for party, run in training.runs.items() if party != up.federation.initiator)
    sums = cohorts(context.private, name)
    return [
        {"sums": cohort.title, "first": cohort.first, "last": cohort.last, "clients": list(cohort.survivors or ())}
        for cohort in sums
    ]


def show_clients(report: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Who was in which sum, drawn as a table; who signed, and how many rows each scored afterwards."""
    told = report["clients"]
    table = Table(title="Who was there", title_justify="left")
    for column in ("", *told["started"]):
        table.add_column(column, justify="left" if not column else "center")
    for cohort in told["sums"]:
        table.add_row(cohort["sums"], *("█" if client in cohort["clients"] else "" for client in told["started"]))
    table.add_section()
    signers = report["settlement"]["signers"]
    table.add_row("signed the block", *("█" if client in signers else "" for client in told["started"]))
    table.add_row("rows scored", *(str(told["predicted_rows"].get(client, "")) for client in told["started"]))
    console.print(table)
    for client, moment in told["vanished"].items():
        console.print(
            f"{client} was killed in round {moment['round']} of {report['rounds']} ({moment['processes']} processes). "
            f"{', '.join(told['finished'])} trained, evaluated, published and settled without it.",
            highlight=False,
        )
