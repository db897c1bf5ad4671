"""The base of all federated operators: run a stage, wait in the task, defer, replay, and report failures with their code."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from tombolo.operators.runs import run_name
from tombolo.storage.errors import CodedError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.session import Progress
    from tombolo.fl_tasks.runtime.waiting import Wait, Waiting

ERROR_KEY = "error"
_AFTER_DEADLINE = timedelta(minutes=5)


class UnexpectedFailure(CodedError):
    code = "TMB-TASK-001"
    cause = "A task failed with an unexpected error."
    remedy = "The task is tried again. If it fails again, report its log, which names the place in the code."
    transient = True


class FederatedOperator(BaseOperator):
    """One stage of one run at this party.

    :param agreement: name of the agreement's folder
    :param run_id: the Airflow run id, from which the run's name in the federation is made
    :param kind: the kind of run, such as ``train`` or ``predict``

    A subclass implements :meth:`work`. Every call replays the stage from its last checkpoint. So a retry, the end of a wait and a
    cleared task all work in the same way. A coded error fails the task at once, because a retry would give the same error. After a
    transient or an unexpected error the task is tried again. In a run that goes on without this party, the task is skipped.
    """

    template_fields: Sequence[str] = ("agreement", "run_id")
    ui_color = "#e0ecf4"
    stage: ClassVar[str]

    def __init__(self, *, agreement: str, run_id: str = "{{ dag_run.run_id }}", kind: str = "train", **kwargs: Any) -> None:
        kwargs.setdefault("retries", 4)
        kwargs.setdefault("retry_delay", timedelta(seconds=3))
        super().__init__(**kwargs)
        self.agreement, self.run_id, self.kind = agreement, run_id, kind

    def work(self, party: PartyContext, run: str, wait: Wait, progress: Progress, context: Context) -> Any:
        """Do the stage; returns the summary for the task's XCom. It must contain no data value and no secret."""
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        """Begin the stage."""
        return self.resume(context)

    def resume(self, context: Context, event: Any = None) -> Any:
        """Begin the stage, or continue after a deferral. ``event`` is not needed: the replay looks at the store itself."""
        from tombolo.fl_tasks.runtime.context import Absent, PartyContext
        from tombolo.fl_tasks.runtime.waiting import Wait, Waiting

        me = ""
        try:
            party = PartyContext.open(self.agreement)
            me = party.me
            run = run_name(self.run_id, self.kind)
            return self.work(party, run, Wait(party.party_settings.inline_seconds), self._progress(context), context)
        except Waiting as waiting:
            self._defer(waiting, run)
        except Absent as absent:
            raise AirflowSkipException(str(absent)) from None
        except CodedError as error:
            fail(error.at(step=self.stage), context, me)
        except AirflowException:
            raise
        except Exception as error:  # its text may contain a data value, so only its type and place are reported
            self.log.error("%s", "".join(traceback.format_tb(error.__traceback__)))
            fail(UnexpectedFailure(f"{type(error).__name__} in {_place(error)}.", step=self.stage), context, me)

    def _defer(self, waiting: Waiting, run: str) -> None:
        """Free the worker until the artifact or an abort arrives. After the deadline the replay names the silent party."""
        from tombolo.operators.triggers import ArtifactTrigger

        self.log.info("waiting for %s from %s, until %s", waiting.message, waiting.party, waiting.deadline)
        trigger = ArtifactTrigger(
            agreement=self.agreement,
            run=run,
            party=waiting.party,
            message=waiting.message,
            key=waiting.key,
            deadline=waiting.deadline.isoformat(),
        )
        limit = waiting.deadline - datetime.now(UTC) + _AFTER_DEADLINE
        self.defer(trigger=trigger, method_name="resume", timeout=limit)

    def _progress(self, context: Context) -> Progress:
        """A function that logs each progress report and stores the latest round in the task's state."""
        from tombolo.fl_tasks.runtime.session import log_progress

        state = context.get("task_state_store")

        def report(facts: Mapping[str, Any]) -> None:
            log_progress(facts)
            if state is not None and "round" in facts:
                state.set("progress", {name: facts[name] for name in ("round", "loss") if name in facts})

        return report


def fail(error: CodedError, context: Context, me: str = "") -> NoReturn:
    """Log a coded error, pass what the peers may know to :class:`AbortOperator`, and fail the task.

    If the error is transient, the task is tried again. ``me`` is this party, empty if the task does not know it.
    """
    context["ti"].xcom_push(key=ERROR_KEY, value=error.failure(me).document())
    logging.getLogger("tombolo").error("%s", error)
    raise (AirflowException if error.transient else AirflowFailException)(str(error)) from None


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].name}, line {frames[-1].lineno}" if frames else "an unknown place"
