"""A federation whose run was trained, published and settled, for tests of the console; and the console served to a reader."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.federation import Federation
from tests.fl_tasks.workflow.trained import trained
from tombolo.fl_tasks.crypto.paillier import MIN_BITS
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.settle import settle

RUN = "run-1"


def settled(root: Path, **terms: object) -> Federation:
    """Run ``run-1`` of a clinic, a lab and a notary, from the invitation to its block."""
    made = trained(root, "clinic", "lab", key_bits=MIN_BITS, **terms)
    for stage in (evaluate, publish, settle):
        made.stage(stage, RUN)
    return made


@contextmanager
def served(readable: str = "") -> Iterator[str]:
    """The console's address under Airflow's prefix, as a user sees it who may read the DAGs that begin with ``readable``."""
    import uvicorn
    from fastapi import FastAPI

    from tombolo.operators.links import PREFIX
    from tombolo.plugins.console import airflow_side
    from tombolo.plugins.console.app import app

    app.dependency_overrides = {
        airflow_side.may_read_dag.dependency: lambda: None,
        airflow_side.reader: lambda: lambda dag_id: dag_id.startswith(readable),
        airflow_side.finder: lambda: lambda dag_id, run, kind: None,
    }
    outside = FastAPI()
    outside.mount(PREFIX, app)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(outside, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{PREFIX}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
        app.dependency_overrides = {}
