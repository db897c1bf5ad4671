"""Makes this party's DAGs from its agreements: one per kind of run, and those for monitoring, retention and invitations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, AssetWatcher, BaseOperator, CronTriggerTimetable, Param, TaskGroup

from tombolo.agreements.agreement import Agreement
from tombolo.agreements.kinds import KINDS, Kind
from tombolo.agreements.parameters import Parameter
from tombolo.operators.abort import AbortOperator
from tombolo.operators.align import AlignEntitiesOperator
from tombolo.operators.approve import ApproveRunOperator, DeclinableRunOperator
from tombolo.operators.base import FederatedOperator
from tombolo.operators.evaluate import EvaluateModelOperator
from tombolo.operators.join import (
    InviteOperator,
    JoinRunOperator,
    PendingInvitationsOperator,
    ReadInvitationOperator,
)
from tombolo.operators.lending import BuildQueryIndexOperator, PrivateQueryOperator
from tombolo.operators.monitor import MonitorOperator
from tombolo.operators.predict import PredictOperator
from tombolo.operators.publish import PublishModelOperator
from tombolo.operators.retain import RetainOperator
from tombolo.operators.runs import INBOX, RETENTION, dag_of
from tombolo.operators.score import ScoreOperator
from tombolo.operators.settle import SettleOperator
from tombolo.operators.train import TrainModelOperator
from tombolo.operators.triggers import InvitationTrigger
from tombolo.operators.validate import ValidateDataOperator
from tombolo.storage.roles import INITIATORS

OPERATORS: dict[str, type[FederatedOperator]] = {
    "validate": ValidateDataOperator,
    "align": AlignEntitiesOperator,
    "evaluate": EvaluateModelOperator,
    "publish": PublishModelOperator,
    "predict": PredictOperator,
    "index": BuildQueryIndexOperator,
    "query": PrivateQueryOperator,
    "score": ScoreOperator,
}
"""The operator of each stage between join and settle, except train."""
_START = datetime(2024, 1, 1, tzinfo=UTC)
_INVITATION = """Another organisation asks your organisation to take part in a run.
{% set asked = ti.xcom_pull('invitation') %}
- run: `{{ asked.run }}` ({{ asked.kind }}), invited by {{ asked.initiator }} at {{ asked.created }}, open until {{ asked.expires }}
- data as of: {{ asked.as_of }}
- parameters: {% for name, value in asked.parameters.items() %}{{ name }} = {{ value }}; {% endfor %}
"""


def asset_of(agreement: str, party: str, name: str) -> Asset:
    """An asset of an agreement: ``model``, ``scores`` or ``index``. Each new one gives an event, which can start other DAGs."""
    return Asset(name=f"{agreement}_{name}", uri=f"tombolo://{party}/{agreement}/{name}", group="tombolo")


def build_dags(agreement: Agreement, party: str) -> list[DAG]:
    """All DAGs of an agreement at this party: one per kind of run of its protocol, and one that monitors scores."""
    protocol, role = agreement.terms.task.descriptor, agreement.roles()[party]
    kinds = [kind for kind in protocol.kinds if not KINDS[kind].alone or _brings(agreement, role, kind)]
    dags = [build_dag(agreement, party, kind) for kind in kinds]
    return [*dags, build_monitor_dag(agreement, party)] if party in agreement.terms.scores else dags


def build_dag(agreement: Agreement, party: str, kind: str) -> DAG:
    """The DAG of one kind of run: its stages in order. The party that starts runs also gets the form and the schedule."""
    table, own = KINDS[kind], {"agreement": agreement.name, "kind": kind}
    form = FORMS[kind](agreement) if table.alone or _starts(agreement, party) else {}
    with _dag(agreement, party, kind, agreement.terms.schedule if table.scheduled else None, form) as dag:
        if table.alone:
            _stage(agreement, party, table, table.stages[0], own)
            return dag
        chain: list[BaseOperator | TaskGroup] = []
        watched = list(_beginning(agreement, party, kind))
        chain += watched
        for name in table.stages[1:-1]:
            if name == "train":
                group, legs = _training(agreement, own)
                chain.append(group)
                watched += legs
            else:
                chain.append(_stage(agreement, party, table, name, own))
                watched.append(chain[-1])
        _chain([*chain, _settling(agreement, own)])
        AbortOperator(task_id="abort", **own).set_upstream(watched)
    return dag


def _stage(agreement: Agreement, party: str, table: Kind, name: str, own: dict[str, Any]) -> BaseOperator:
    published = [asset_of(agreement.name, party, table.publishes[1])] if table.publishes and table.publishes[0] == name else []
    more: dict[str, Any] = {"outlets": published} if published else {}
    if name == "evaluate":  # legs that are not needed are skipped
        more["trigger_rule"] = "none_failed"
    return OPERATORS[name](task_id=name, **own, **more)


def _training(agreement: Agreement, own: dict[str, Any]) -> tuple[TaskGroup, list[BaseOperator]]:
    with TaskGroup("train") as group:
        legs: list[BaseOperator] = [
            TrainModelOperator(task_id=f"rounds_{first:03d}_{last:03d}", leg=(first, last), **own)
            for first, last in legs_of(agreement)
        ]
        _chain(legs)
    return group, legs


def _brings(agreement: Agreement, role: str, kind: str) -> bool:
    """Whether a role has a table for this kind of run, which a party does alone."""
    declared = agreement.terms.task.descriptor.role(role)
    return declared is not None and kind in declared.tables


def build_monitor_dag(agreement: Agreement, party: str) -> DAG:
    """Compare a published model with labels that arrived later, and watch its scores for drift. For parties that get scores.

    Runs after every prediction and every morning, because labels may arrive at any time.
    """
    mornings = CronTriggerTimetable("0 6 * * *", timezone="UTC")
    schedule = AssetOrTimeSchedule(timetable=mornings, assets=[asset_of(agreement.name, party, "scores")])
    with _dag(agreement, party, "monitor", schedule, {}) as dag:
        MonitorOperator(task_id="monitor", agreement=agreement.name)
    return dag


def build_retention_dag(party: str, agreements: Sequence[str]) -> DAG:
    """The DAG that deletes, every night, what the agreements' retention does not keep any longer at this party."""
    with DAG(
        RETENTION,
        description="Deletes artifacts and private objects of runs that were settled long enough ago",
        schedule=CronTriggerTimetable("30 3 * * *", timezone="UTC"),
        start_date=_START,
        catchup=False,
        tags=["tombolo", party],
    ) as dag:
        retry = {"retries": 2, "retry_delay": timedelta(seconds=30)}  # its first run may start before the API server
        RetainOperator(task_id="retain", agreements=sorted(agreements), **retry)
    return dag


def build_inbox_dag(party: str, agreements: Sequence[str]) -> DAG:
    """The DAG that starts this party's DAGs for the runs to which it is invited. A watcher on the stores of the peers starts it."""
    trigger = InvitationTrigger(party=party, agreements=sorted(agreements))
    invitations = Asset(
        name="tombolo_invitations",
        uri=f"tombolo://{party}/invitations",
        group="tombolo",
        watchers=[AssetWatcher(name="invitations", trigger=trigger)],
    )
    with DAG(
        INBOX,
        description="Starts the DAGs of the runs to which other parties invite this party",
        schedule=[invitations],
        start_date=_START,
        catchup=False,
        tags=["tombolo", party],
    ) as dag:
        pending = PendingInvitationsOperator(task_id="pending", agreements=sorted(agreements), retries=2)
        TriggerDagRunOperator.partial(
            task_id="begin",
            logical_date=None,
            skip_when_already_exists=True,
            retries=2,
            retry_delay=timedelta(seconds=3),
        ).expand_kwargs(pending.output)
    return dag


def legs_of(agreement: Agreement) -> list[tuple[int, int]]:
    """The first and the last round of every leg that a run may need under the terms."""
    rounds = agreement.terms.parameters()["rounds"]
    most = int(max(value for value in (rounds.high, rounds.default, *(rounds.allowed or ())) if value is not None))
    size = agreement.terms.leg
    return [(first, min(first + size - 1, most)) for first in range(1, most + 1, size)]


def training_form(agreement: Agreement) -> dict[str, Param]:
    """The fields of the trigger form: the parameters that the terms do not fix, and the as-of date."""
    form = {name: _field(parameter) for name, parameter in agreement.terms.parameters().items() if not parameter.fixed}
    form["as_of"] = _as_of()
    return form


def prediction_form(agreement: Agreement) -> dict[str, Param]:
    """The fields of the trigger form: the version of the model, and the as-of date."""
    model = Param(
        None,
        type=["null", "string"],
        title="Model version",
        description="The training run that published the version. Leave it empty for the latest version.",
    )
    return {"model": model, "as_of": _as_of()}


def index_form(agreement: Agreement) -> dict[str, Param]:
    """The fields of the trigger form: a new index or an update, and the as-of date."""
    update = Param(
        False,
        type="boolean",
        title="Update the latest index",
        description="Yes: only new and changed customers are sent, with the same keys. No: all customers are sent, with new keys.",
    )
    return {"update": update, "as_of": _as_of()}


def query_form(agreement: Agreement) -> dict[str, Param]:
    """The field of the trigger form: a handle. Forms have no ids of people, because Airflow stores forms in its database."""
    questions = Param(
        "",
        type="string",
        pattern="^[0-9a-f]{16}$",
        title="Questions",
        description="The handle that `tombolo query put AGREEMENT FILE` printed. The ids of the people stay sealed in your store.",
    )
    return {"questions": questions}


FORMS: dict[str, Callable[[Agreement], dict[str, Param]]] = {
    "train": training_form,
    "predict": prediction_form,
    "score": prediction_form,
    "index": index_form,
    "query": query_form,
}
"""The trigger form of each kind of run."""


def _as_of() -> Param:
    return Param(
        None,
        type=["null", "string"],
        format="date-time",
        title="Data as of",
        description="Tables are read as of this time. Leave it empty for the date of the run.",
    )


def _field(parameter: Parameter) -> Param:
    """A form field that accepts only what the terms allow."""
    known = parameter.known
    kind = {int: "integer", float: "number", str: "string"}[known.kind]
    limits: dict[str, Any] = {"enum": list(parameter.allowed)} if parameter.allowed else {}
    bounds = (("minimum", parameter.low), ("maximum", parameter.high))
    limits |= {name: value for name, value in bounds if value is not None}
    accepted = kind if parameter.default is not None else ["null", kind]
    texts = {"title": known.title, "description": known.description}
    return Param(parameter.default, type=accepted, section="Training", **texts, **limits)


def _dag(agreement: Agreement, party: str, kind: str, schedule: Any, form: dict[str, Param]) -> DAG:
    terms, role = agreement.terms, agreement.roles()[party]
    others = ", ".join(f"{name} ({other})" for name, other in agreement.roles().items() if name != party)
    begins = KINDS[kind].alone or role in INITIATORS
    return DAG(
        dag_of(agreement.name, kind),
        description=f"{terms.task.protocol} with {others}; this is {party} ({role})",
        schedule=schedule if begins else None,
        start_date=_START,
        catchup=False,
        params=form,
        tags=["tombolo", party, role],
        doc_md=None
        if begins
        else "The DAG tombolo_inbox starts this DAG when another party invites this party. Do not trigger it by hand.",
    )


def _beginning(agreement: Agreement, party: str, kind: str) -> list[BaseOperator]:
    """The first tasks: invite and join for the party that starts runs, else join, after an approval if the terms ask for one."""
    own: dict[str, Any] = {"agreement": agreement.name, "kind": kind}
    if _starts(agreement, party):
        started_by = "{{ dag_run.triggering_user_name or 'schedule' }}"
        return [
            InviteOperator(task_id="invite", **own),
            JoinRunOperator(task_id="join", approver=started_by, **own),
        ]
    if agreement.terms.joining == "automatic":
        return [JoinRunOperator(task_id="join", **own)]
    asked: dict[str, Any] = {
        "task_id": "approve",
        "subject": f"Take part in a run of {agreement.name}?",
        "body": _INVITATION,
        "response_timeout": timedelta(seconds=agreement.terms.deadlines.join),
    }
    return [
        ReadInvitationOperator(task_id="invitation", **own),
        DeclinableRunOperator(**asked, **own) if _may_skip(agreement) else ApproveRunOperator(**asked),
        JoinRunOperator(task_id="join", approver="{{ ti.xcom_pull('approve')['responded_by_user']['name'] }}", **own),
    ]


def _settling(agreement: Agreement, own: dict[str, Any]) -> BaseOperator:
    """The last task. In a run without this party it is the only task that works: it stores the block."""
    return SettleOperator(task_id="settle", trigger_rule="none_failed" if _may_skip(agreement) else "all_success", **own)


def _chain(tasks: Sequence[BaseOperator | TaskGroup]) -> None:
    for before, after in pairwise(tasks):
        before >> after


def _starts(agreement: Agreement, party: str) -> bool:
    return agreement.roles()[party] in INITIATORS


def _may_skip(agreement: Agreement) -> bool:
    horizontal = agreement.terms.task.horizontal_terms
    return horizontal is not None and horizontal.absence != "wait"
