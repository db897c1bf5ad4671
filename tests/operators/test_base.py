"""Which failures a task is tried again after, and what it leaves behind."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from tests.federation import federation
from tombolo.fl_tasks.crypto.errors import InvalidCiphertext, WorkersLost
from tombolo.fl_tasks.crypto.paillier import MIN_BITS
from tombolo.operators.base import ERROR_KEY, FederatedOperator
from tombolo.storage.errors import homes, known


class Failing(FederatedOperator):
    stage = "train"

    def __init__(self, *, error: Exception, **options: Any) -> None:
        super().__init__(agreement="trial", run_id="run-1", **options)
        self.error = error

    def work(self, *_: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "again"),
    [
        (WorkersLost("KilledWorker."), "TMB-CRYPTO-011", True),
        (InvalidCiphertext(), "TMB-CRYPTO-003", False),
        (ValueError("a row of Ada's"), "TMB-TASK-001", True),
    ],
)
def test_what_may_pass_by_itself_is_tried_again(tmp_path, monkeypatch, error, code, again):
    fed = federation(tmp_path, dict.fromkeys(("clinic", "lab"), pa.table({"id": ["a"]})), key_bits=MIN_BITS)
    monkeypatch.setenv("TOMBOLO_PARTY", str(fed.settings("clinic")))
    pushed: dict[str, Any] = {}
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))}
    with pytest.raises(AirflowException) as caught:
        Failing(task_id="failing", error=error).execute(context)
    assert isinstance(caught.value, AirflowFailException) is not again
    assert code in str(caught.value) and "Ada" not in str(caught.value)
    left = {"party": "clinic", "step": "train", "code": code, "cause": known(code).cause, "by": "clinic"}
    assert pushed[ERROR_KEY] == left


def test_what_is_transient_is_said_by_the_error():
    again = [code for code in homes() if known(code).transient]
    assert sorted(again) == ["TMB-CRYPTO-011", "TMB-STORE-004", "TMB-TASK-001"]
