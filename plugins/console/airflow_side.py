"""What the console reads from the Airflow in which it runs: what a user may read, and the DAG run and tasks of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends

from tombolo.operators.runs import run_name

_NEWEST = 5000


@dataclass(frozen=True)
class Task:
    """A task instance: its id, its state and the number of tries."""

    task_id: str
    state: str
    tries: int


@dataclass(frozen=True)
class DagRun:
    """The DAG run of a run, with its tasks in the order in which they began."""

    run_id: str
    state: str
    tasks: tuple[Task, ...]


Reader = Callable[[str], bool]
Finder = Callable[[str, str, str], DagRun | None]


def reader(user: GetUserDep) -> Reader:
    """A function that says whether the user may read a DAG."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
    from airflow.models.dag import DagModel

    def may_read(dag_id: str) -> bool:
        details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
        return bool(get_auth_manager().is_authorized_dag(method="GET", details=details, user=user))

    return may_read


def finder(user: GetUserDep) -> Finder:
    """A function that finds a DAG run. It gives the tasks only to users who may see the DAG's task instances."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails

    def find(dag_id: str, run: str, kind: str) -> DagRun | None:
        details = DagDetails(id=dag_id)
        entity = DagAccessEntity.TASK_INSTANCE
        tasks = get_auth_manager().is_authorized_dag(method="GET", access_entity=entity, details=details, user=user)
        return dag_run(dag_id, run, kind, bool(tasks))

    return find


def dag_run(dag_id: str, run: str, kind: str, tasks: bool = True) -> DagRun | None:
    """The DAG run of the run with the id ``run``; None if Airflow does not have it, or has deleted it."""
    from airflow.models.dagrun import DagRun as Row
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        newest = session.execute(select(Row.run_id, Row.state).where(Row.dag_id == dag_id).order_by(Row.id.desc()).limit(_NEWEST))
        match = next(((run_id, state) for run_id, state in newest if run_name(run_id, kind) == run), None)
        if match is None:
            return None
        airflow_id, state = match
        instances = select(TaskInstance.task_id, TaskInstance.state, TaskInstance.try_number, TaskInstance.start_date).where(
            TaskInstance.dag_id == dag_id, TaskInstance.run_id == airflow_id
        )
        rows = session.execute(instances).all() if tasks else []
    begun = sorted((row for row in rows if row.start_date is not None), key=lambda row: row.start_date)
    waiting = [row for row in rows if row.start_date is None]
    tasks_in_order = tuple(Task(row[0], str(row[1] or "none"), int(row[2])) for row in [*begun, *waiting])
    return DagRun(str(airflow_id), str(state), tasks_in_order)


may_read_dag = Depends(requires_access_dag("GET"))
MayRead = Annotated[Reader, Depends(reader)]
FindRun = Annotated[Finder, Depends(finder)]
