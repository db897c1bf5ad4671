"""The steps of the horizontal demo: the whole Airflow of one client is killed during training. The others finish without it."""

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
"""The client that is killed, and the number of complete rounds before it is killed in the next one."""
_SCORE_LIMIT = 180.0


class Vanishing:
    """Kills all processes of a client's Airflow (SIGKILL) as soon as the client has sent an artifact of round ``rounds`` + 1."""

    def __init__(self, up: Up, client: str, rounds: int) -> None:
        self._up, self._client, self._round = up, client, rounds + 1
        self.moment: dict[str, Any] | None = None

    def __call__(self, run: str) -> str | None:
        """Return the client's name in the call that killed it, else None."""
        store = self._up.federation.home(self._client) / "store"
        if self.moment is not None or not any(store.glob(f"to-*/*/{run}/{self._round:06d}")):
            return None
        processes = self._up.supervisor.kill(self._client)
        self.moment = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "round": self._round, "processes": processes}
        self._up.show.say(f"{self._client} is killed in round {self._round}: {processes} processes, without warning")
        return self._client


def lose_a_client(up: Up) -> dict[str, Any]:
    """Train with all clients, kill one, then finish and score with the others. Returns the content of the report.

    Raises DemoFailed.
    """
    vanishing = Vanishing(up, VANISHES, ROUNDS_BEFORE)
    training = up.run("train", vanishing)
    if vanishing.moment is None:
        raise DemoFailed(f"training ended before {VANISHES} was killed")
    del up.airflows[VANISHES]
    scored = _score(up)
    up.all_well()
    up.show.say("training the pooled models and a model of each hospital alone, for comparison")
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
    """Let each client score its own new patients. Returns the rows by client and the total seconds. Raises DemoFailed."""
    dag, began, rows = f"{up.federation.agreement}_score", time.monotonic(), {}
    clients = [party for party in up.airflows if party != up.federation.initiator]
    up.show.say(f"triggering {dag} at {', '.join(clients)}")
    runs = {party: up.airflows[party].trigger(dag, {}) for party in clients}
    for party, run in runs.items():
        state = up.airflows[party].wait_run(dag, run, _SCORE_LIMIT)
        up.show.party(party, f"scored: {state}" if state in FINISHED else f"scoring: {state}")
        if state != "success":
            raise DemoFailed(f"{dag} at {party} ended as {state}; its logs are in {up.federation.home(party) / 'airflow' / 'logs'}")
        rows[party] = up.airflows[party].xcom(dag, run, "score")["rows"]
    return {"rows": rows, "seconds": time.monotonic() - began}


def _sums(up: Up, training: Followed) -> list[dict[str, Any]]:
    """The clients in each kind of sum, from the aggregator's lists."""
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
    """Print a table: which clients were in which sums, which of them signed the block, and how many rows each scored afterwards."""
    told = report["clients"]
    table = Table(title="Clients in the sums", title_justify="left")
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
