"""The runs of a demo: they are triggered through Airflow's API, followed at every party, and read for the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tombolo.cli.demo.airflow_api import FINISHED, Airflow
from tombolo.cli.demo.federation import Federation
from tombolo.cli.demo.following import Followed, follow
from tombolo.cli.demo.progress import Display
from tombolo.cli.demo.supervise import Supervisor

_RUN_LIMIT = 1500.0


class DemoFailed(Exception):
    """The demo failed. The text says where to look."""


@dataclass
class Up:
    """A federation whose Airflows are running. ``airflows`` has the running ones, by party."""

    federation: Federation
    airflows: dict[str, Airflow]
    supervisor: Supervisor
    show: Display

    def run(
        self, kind: str, leaves: Callable[[str], str | None] = lambda run: None, conf: Mapping[str, Any] | None = None
    ) -> Followed:
        """Trigger the initiator's DAG through the API, and follow the run at every party. Raises :class:`DemoFailed`.

        ``leaves`` is called again and again with the run id. It returns a party whose Airflow was killed since the last call, or
        None. ``conf`` fills the trigger form.
        """
        dag, initiator = f"{self.federation.agreement}_{kind}", self.federation.initiator
        begun = f"demo-{time.strftime('%Y%m%d-%H%M%S')}"
        self.show.say(f"triggering {dag} at the {initiator} through Airflow's REST API")
        own = self.airflows[initiator].trigger(dag, conf or {}, begun)
        name = begun if kind == "train" else f"{kind}.{begun}"
        runs = {party: own if party == initiator else name for party in self.airflows}
        followed = follow(self.airflows, initiator, dag, runs, self.show, _RUN_LIMIT, lambda: leaves(name))
        self.supervisor.check()
        if not followed.succeeded:
            states = ", ".join(f"{party} {state}" for party, state in followed.states.items())
            failed = "; ".join(followed.failures())
            logs = self.federation.home("<party>") / "airflow" / "logs"
            raise DemoFailed(f"{dag}: {states}. {failed}\nThe tasks' logs are in {logs}")
        return followed

    def all_well(self) -> None:
        """Check that every DAG run of every party has succeeded, also of the inbox DAGs. Raises :class:`DemoFailed`."""
        for party, airflow in self.airflows.items():
            until = time.monotonic() + 60
            while any(run["state"] not in FINISHED for run in airflow.runs()) and time.monotonic() < until:
                time.sleep(1)
            bad = [f"{run['dag_id']} {run['dag_run_id']} {run['state']}" for run in airflow.runs() if run["state"] != "success"]
            if bad:
                raise DemoFailed(f"{party}: {'; '.join(bad)}")

    def came_of(self, training: Followed, vanished: Collection[str] = ()) -> dict[str, Any]:
        """The part of the report about a training run, with a comparison to models trained without protection on the same rows."""
        from tombolo.fl_tasks.workflow.comparison import compare

        federation, initiator = self.federation, self.federation.initiator
        airflow, at = self.airflows[initiator], training.runs[initiator]
        run = training.runs[next(party for party in self.airflows if party != initiator)]
        compared = compare(federation.agreement, federation.settings, run, vanished)
        return {
            "run": run,
            "compared": compared,
            "rounds": training.rounds,
            "losses": training.losses,
            "settlement": airflow.xcom(training.dag, at, "settle"),
        }


def bytes_sent(federation: Federation, *runs: Mapping[str, str]) -> dict[str, int]:
    """The bytes that each party sent in these runs, from its books."""
    from tombolo.fl_tasks.runtime.context import PartyContext

    sent = {}
    for party, settings in federation.settings.items():
        context = PartyContext.open(federation.agreement, settings)
        names = {run for by_party in runs for name, run in by_party.items() if name != federation.initiator}
        sent[party] = sum(sum(context.books(run).bytes_to().values()) for run in names)
    return sent
