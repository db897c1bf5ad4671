"""One party of a simulated run, in its own process. It runs the stages and writes events as JSON lines to standard output.

Command: ``python -m tombolo.cli.simulation.party SETTINGS AGREEMENT RUN``. All other output goes to standard error.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any, TextIO


def main(settings: str, agreement: str, run: str) -> int:
    """Run every stage. Returns the exit status."""
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    began = time.monotonic()
    from tombolo.agreements.kinds import KINDS
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.waiting import Wait
    from tombolo.fl_tasks.workflow.join import invitation
    from tombolo.fl_tasks.workflow.parts import stage_function

    context, stage = None, "open"
    try:
        context = PartyContext.open(agreement, Path(settings))
        _tell(events, event="open", seconds=time.monotonic() - began)
        for stage in KINDS[invitation(context, run).kind].stages:
            _tell(events, event="stage", stage=stage)
            began, cpu = time.monotonic(), time.process_time()
            result = stage_function(context.terms.task, stage)(
                context, run, Wait(math.inf), progress=lambda facts: _tell(events, event="facts", **facts)
            )
            seconds, cpu = time.monotonic() - began, time.process_time() - cpu
            _tell(events, event="done", stage=stage, seconds=seconds, cpu=cpu, result=result)
    except Exception as error:
        _fail(events, error, context, run, stage)
        return 1
    _tell(events, event="end", bytes_to=context.books(run).bytes_to(), artifacts=len(context.books(run).entries("sent")))
    return 0


def _tell(events: TextIO, **facts: Any) -> None:
    events.write(json.dumps(facts, default=str) + "\n")


def _fail(events: TextIO, error: Exception, context: Any, run: str, stage: str) -> None:
    """Report an error to the driver and to the peers. The text of an uncoded error goes only to the log: it may contain data."""
    from tombolo.fl_tasks.workflow.abort import abort
    from tombolo.storage.errors import CodedError

    traceback.print_exc()
    if isinstance(error, CodedError):
        error.at(getattr(context, "me", None), stage)
        _tell(events, event="error", code=error.code, text=str(error))
    else:
        _tell(events, event="error", code=None, text=f"an unexpected {type(error).__name__} in stage {stage}")
    if context is not None:
        try:
            abort(context, run, error, stage)
        except Exception:
            traceback.print_exc()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
