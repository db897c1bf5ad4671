"""A refusal is final, whatever retries are left, and is left for the peers with its own code."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from tombolo.operators.approve import ApproveRunOperator
from tombolo.operators.base import ERROR_KEY


def answered(option: str) -> tuple[dict[str, Any], Any]:
    """What the operator left behind when somebody had answered, and what it returned or raised."""
    pushed: dict[str, Any] = {}
    operator = ApproveRunOperator(task_id="approve", subject="Take part?")
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value})), "task": operator}
    event = {
        "chosen_options": [option],
        "params_input": {},
        "responded_at": datetime(2026, 1, 1, tzinfo=UTC),
        "responded_by_user": {"id": "1", "name": "ada"},
        "timedout": False,
    }
    try:
        return pushed, operator.execute_complete(context, event)
    except AirflowFailException as error:
        return pushed, error


def test_refusal_fails_for_good_with_its_code() -> None:
    pushed, error = answered("Reject")
    assert isinstance(error, AirflowFailException) and "TMB-RUN-007" in str(error)
    assert (pushed[ERROR_KEY]["code"], pushed[ERROR_KEY]["step"]) == ("TMB-RUN-007", "approve")


def test_approval_names_the_approver() -> None:
    pushed, answer = answered("Approve")
    assert pushed == {} and answer["responded_by_user"]["name"] == "ada"
