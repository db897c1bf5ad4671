"""The base of all federated operators: run a stage, wait inline, defer, replay; say failures with their code."""

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
    cause = "A task failed in a way that nobody foresaw."
    remedy = "Its log names the place in the code; the task is tried again."
    transient = True


class FederatedOperator(BaseOperator):
    """One stage of one run at this party.

    :param agreement: name of the agreement's folder
    :param run_id: the Airflow run id that the federation's run id is made from
    :param kind: ``train`` or ``predict``

    A subclass implements :meth:`work`. Every call replays the stage from its last checkpoint, so a retry, a resumed wait and a
    cleared task are all the same thing. An error with a code fails the task at once, since trying again would give it again,
    unless it is transient, as one that nobody foresaw may be. In a run that goes on without this party the task is skipped.
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
        """Do the stage; returns the summary that becomes the task's XCom (no data value, no secret)."""
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        """Begin the stage."""
        return self.resume(context)

    def resume(self, context: Context, event: Any = None) -> Any:
        """Begin the stage, or go on after a deferral; why the trigger fired (``event``) the replay finds out by itself."""
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
        except Exception as error:  # its text may hold a data value, so only its kind and place are told
            self.log.error("%s", "".join(traceback.format_tb(error.__traceback__)))
            fail(UnexpectedFailure(f"{type(error).__name__} in {_place(error)}.", step=self.stage), context, me)

    def _defer(self, waiting: Waiting, run: str) -> None:
        """Free the worker until the artifact or an abort is there; past the deadline the replay itself says who was silent."""
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
        """One log line per report, and the latest round in the task's state."""
        from tombolo.fl_tasks.runtime.session import log_progress

        state = context.get("task_state_store")

        def report(facts: Mapping[str, Any]) -> None:
            log_progress(facts)
            if state is not None and "round" in facts:
                state.set("progress", {name: facts[name] for name in ("round", "loss") if name in facts})

        return report


def fail(error: CodedError, context: Context, me: str = "") -> NoReturn:
    """Log a coded error, leave what peers may know of it for :class:`AbortOperator`, and fail the task; for good, unless the error
    is transient. ``me`` is this party, empty where the task does not know it."""
    context["ti"].xcom_push(key=ERROR_KEY, value=error.failure(me).document())
    logging.getLogger("tombolo").error("%s", error)
    raise (AirflowException if error.transient else AirflowFailException)(str(error)) from None


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].name}, line {frames[-1].lineno}" if frames else "an unknown place"
