"""Starts the processes of several Airflows by forks of one process, so that slow imports are done once and not twelve times.

``python -m tombolo.cli.demo.launcher`` reads one JSON plan from standard input: a list of instances with ``environment``,
``cwd`` and ``components`` (name, arguments, log). It writes ``{"name", "pid"}`` per component as JSON lines.

The launcher imports the common packages and forks once per instance. The fork imports Airflow under the instance's environment,
and forks once per component. Each component runs Airflow's own command line in a session of its own. In production, a service
manager starts the same commands.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

_SHARED = (
    "aiosqlite",
    "alembic",
    "cadwyn",
    "cryptography.hazmat.primitives.hpke",
    "fastapi",
    "gmpy2",
    "great_expectations",
    "httpx",
    "jinja2",
    "numpy",
    "opentelemetry.sdk.trace",
    "pandas",
    "pendulum",
    "pyarrow.parquet",
    "pydantic",
    "sqlalchemy.ext.asyncio",
    "sqlalchemy.orm",
    "structlog",
    "uvicorn",
)
_PER_INSTANCE = (
    "airflow.api_fastapi.core_api.app",
    "airflow.api_fastapi.execution_api.app",
    "airflow.dag_processing.manager",
    "airflow.executors.local_executor",
    "airflow.jobs.scheduler_job_runner",
    "airflow.jobs.triggerer_job_runner",
    "tombolo.operators.workflow",
    "tombolo.fl_tasks.workflow.predict",
    "tombolo.fl_tasks.workflow.publish",
    "tombolo.fl_tasks.workflow.train",
    "tombolo.fl_tasks.workflow.validate",
)


def main() -> int:
    """Import, fork, and wait until all children have ended."""
    for module in _SHARED:
        import_module(module)
    gc.collect()
    gc.freeze()
    plan = json.loads(sys.stdin.readline())
    instances = [_fork(_instance, instance) for instance in plan]
    for pid in instances:
        os.waitpid(pid, 0)
    return 0


def _instance(instance: dict[str, Any]) -> int:
    os.environ.clear()
    os.environ.update(instance["environment"])
    os.chdir(instance["cwd"])
    for module in _PER_INSTANCE:
        import_module(module)
    gc.collect()
    gc.freeze()
    components = []
    for component in instance["components"]:
        pid = _fork(_component, component)
        os.write(1, (json.dumps({"name": component["name"], "pid": pid}) + "\n").encode())
        components.append(pid)
    for pid in components:
        os.waitpid(pid, 0)
    return 0


def _component(component: dict[str, Any]) -> int:
    os.setsid()
    log = os.open(Path(component["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream, target in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
        os.dup2(stream, target)
    from airflow import settings

    settings.engine.dispose(close=False)
    from airflow.__main__ import main as airflow

    sys.argv = ["airflow", *component["arguments"]]
    airflow()
    return 0


def _fork(work: Any, argument: dict[str, Any]) -> int:
    """Run ``work`` in a child process. Returns the child's process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        status = work(argument)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
