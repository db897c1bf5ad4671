"""A small client of Airflow's public REST API: it logs in, triggers a DAG and reads the states of its tasks."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
FINISHED = ("success", "failed")


class ApiRefused(Exception):
    """Airflow answered with an error status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text[:300]}")
        self.status = status


class Airflow:
    """One Airflow instance, used with one login."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url, self._login, self._token = url, {"username": user, "password": password}, ""

    def token(self) -> str:
        """The token of the login; it is fetched at first use."""
        self._token = self._token or self._call("POST", "/auth/token", self._login, token=False)["access_token"]
        return self._token

    def healthy(self) -> bool:
        """Whether all components of the instance have reported as healthy."""
        try:
            health = self._call("GET", "/api/v2/monitor/health", token=False)
        except (OSError, ValueError, ApiRefused):
            return False
        return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "triggerer", "dag_processor"))

    def dags(self) -> list[str]:
        """Ids of the DAGs that can be triggered now."""
        dags = self.get("/api/v2/dags", limit=200)["dags"]
        return [dag["dag_id"] for dag in dags if not dag["is_paused"] and not dag["is_stale"]]

    def import_errors(self) -> list[str]:
        """The stack traces of the DAG files that could not be imported."""
        return [error["stack_trace"] for error in self.get("/api/v2/importErrors")["import_errors"]]

    def trigger(self, dag: str, conf: Mapping[str, Any], run_id: str | None = None) -> str:
        """Start a DAG run; returns its id."""
        body: dict[str, Any] = {"conf": dict(conf), "logical_date": None}
        if run_id:
            body["dag_run_id"] = run_id
        started: str = self._call("POST", f"/api/v2/dags/{_quote(dag)}/dagRuns", body)["dag_run_id"]
        return started

    def run(self, dag: str, run: str) -> dict[str, Any] | None:
        """A DAG run, or None if it does not exist (yet)."""
        try:
            answer: dict[str, Any] = self.get(f"/api/v2/dags/{_quote(dag)}/dagRuns/{_quote(run)}")
            return answer
        except ApiRefused as error:
            if error.status == 404:
                return None
            raise

    def runs(self) -> list[dict[str, Any]]:
        """All DAG runs of the instance."""
        runs: list[dict[str, Any]] = self.get("/api/v2/dags/~/dagRuns", limit=100)["dag_runs"]
        return runs

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        path = f"/api/v2/dags/{_quote(dag)}/dagRuns/{_quote(run)}/taskInstances"
        tasks: list[dict[str, Any]] = self.get(path, limit=200)["task_instances"]
        return tasks

    def xcom(self, dag: str, run: str, task: str, key: str = "return_value") -> Any:
        """The XCom value that a task wrote, or None."""
        path = f"/api/v2/dags/{_quote(dag)}/dagRuns/{_quote(run)}/taskInstances/{_quote(task)}/xcomEntries/{key}"
        try:
            value = self.get(path, deserialize="true")["value"]
        except ApiRefused as error:
            if error.status == 404:
                return None
            raise
        return json.loads(value) if isinstance(value, str) and value[:1] in "[{" else value

    def log(self, dag: str, run: str, task: str, attempt: int = 1) -> str:
        """The text of a task's log."""
        path = f"/api/v2/dags/{_quote(dag)}/dagRuns/{_quote(run)}/taskInstances/{_quote(task)}/logs/{attempt}"
        content = self.get(path).get("content", [])
        return "\n".join(str(line.get("event", line)) if isinstance(line, dict) else str(line) for line in content)

    def get(self, path: str, **query: Any) -> Any:
        """Send a GET request. Returns the JSON answer; raises :class:`ApiRefused`."""
        return self._call("GET", f"{path}?{urllib.parse.urlencode(query)}" if query else path)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send a PATCH request. Returns the JSON answer; raises :class:`ApiRefused`."""
        return self._call("PATCH", path, body)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send a POST request. Returns the JSON answer; raises :class:`ApiRefused`."""
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None, token: bool = True) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {self.token()}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)  # noqa: S310 - our own http address
        try:
            with _OPENER.open(request, timeout=180) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise ApiRefused(error.code, error.read().decode(errors="replace")) from None

    def wait_run(self, dag: str, run: str, seconds: float) -> str:
        """Wait at most ``seconds`` for a run to end. Returns the last state that was seen."""
        state, until = "missing", time.monotonic() + seconds
        while time.monotonic() < until:
            answer = self.run(dag, run)
            state = answer["state"] if answer else "missing"
            if state in FINISHED:
                break
            time.sleep(0.5)
        return state


def _quote(text: str) -> str:
    return urllib.parse.quote(text, safe="")
