"""In a run that goes on without this party nothing fails: tasks are skipped, a refusal declines, and settle keeps the block."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from tests.federation import FOREVER, Federation, quiet
from tests.fl_tasks.learning.horizontal.hospitals import hospitals
from tombolo.agreements.settings import VARIABLE
from tombolo.fl_tasks.workflow.join import invite, join
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.operators.approve import DeclinableRunOperator
from tombolo.operators.evaluate import EvaluateModelOperator
from tombolo.operators.join import JoinRunOperator
from tombolo.operators.settle import SettleOperator

OWN: dict[str, Any] = {"agreement": "trial", "run_id": "run-1"}


def answer(fed: Federation, monkeypatch: pytest.MonkeyPatch, event: dict[str, Any]) -> str:
    """West's operator hears this from its people; returns why the task is skipped."""
    invite(fed.context("centre"), "run-1")
    monkeypatch.setenv(VARIABLE, str(fed.settings("west")))
    operator = DeclinableRunOperator(task_id="approve", subject="Take part?", **OWN)
    with pytest.raises(AirflowSkipException) as skipped:
        operator.execute_complete({}, event)  # type: ignore[typeddict-item]
    return str(skipped.value)


@pytest.mark.slow
def test_a_refusal_skips_the_run_and_the_others_go_on(tmp_path, monkeypatch):
    fed = hospitals(tmp_path, horizontal={"absence": "skip"})
    event = {
        "chosen_options": ["Reject"],
        "params_input": {},
        "responded_at": datetime(2026, 1, 1, tzinfo=UTC),
        "responded_by_user": {"id": "1", "name": "ada"},
        "timedout": False,
    }
    assert "ada" in answer(fed, monkeypatch, event)
    context: Any = {}
    for operator in (JoinRunOperator(task_id="join", **OWN), EvaluateModelOperator(task_id="evaluate", **OWN)):
        with pytest.raises(AirflowSkipException, match="TMB-RUN-009"):
            operator.execute(context)
    others = [party for party in fed.parties if party != "west"]
    fed.run_all(lambda party: join(fed.context(party), "run-1", FOREVER, progress=quiet), others)
    done = fed.stage(settle, "run-1", others)
    assert SettleOperator(task_id="settle", **OWN).execute(context)["block"] == done["north"]["block"]


def test_nobody_answers(tmp_path, monkeypatch):
    fed = hospitals(tmp_path, horizontal={"absence": "skip"})
    event = {"error": "no answer", "error_type": "timeout"}
    assert "nobody" in answer(fed, monkeypatch, event)
    assert fed.context("west").absent("run-1")
