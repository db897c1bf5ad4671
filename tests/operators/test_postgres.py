"""Debian's PostgreSQL as Airflow's metadata database, and as the source of a table."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from tombolo.agreements.settings import TableSettings
from tombolo.cli.demo.airflow_api import Airflow
from tombolo.cli.demo.demos import WDBC
from tombolo.cli.demo.federation import lay_out
from tombolo.cli.demo.instance import USER, Instance, free_ports
from tombolo.cli.demo.supervise import Supervisor, migrate
from tombolo.fl_tasks.tables.source import Unreadable, read_table

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not PROGRAMS, reason="Debian's postgresql is not installed"),
]


def as_owner(*command: str) -> None:
    """Run one of PostgreSQL's programs; it refuses to run as root, so root lends it the package's user."""
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *command], check=True, capture_output=True, cwd="/")


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """Address of a fresh cluster on loopback, with one database."""
    folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    port, programs = free_ports(1, 15432)[0], PROGRAMS[-1]
    as_owner(str(programs / "initdb"), "-D", str(folder / "data"), "-A", "trust", "-U", "tombolo", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    control = [str(programs / "pg_ctl"), "-D", str(folder / "data"), "-w"]
    as_owner(*control, "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgresql://tombolo@127.0.0.1:{port}/postgres"
    finally:
        as_owner(*control, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def test_a_query_is_a_table(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = psycopg2.connect(postgres)
    with connection, connection.cursor() as cursor:
        cursor.execute("create table visits (patient text, age double precision, seen timestamptz)")
        rows = [("007", 41.0, "2026-01-01T00:00:00Z"), ("008", 52.5, "2026-02-01T00:00:00Z"), ("009", None, "2026-03-01T00:00:00Z")]
        cursor.executemany("insert into visits values (%s, %s, %s)", rows)
    connection.close()
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", postgres)
    query = "select patient, age from visits where seen <= cast(:as_of as timestamptz) order by patient"
    settings = TableSettings(source="sql", connection="warehouse", query=query)
    read = {
        as_of: read_table(settings, Path(), {"as_of": as_of}, ["patient"]).to_pydict()
        for as_of in ("2026-02-15T00:00:00+00:00", "2026-12-31T00:00:00+00:00")
    }
    assert read["2026-02-15T00:00:00+00:00"] == {"patient": ["007", "008"], "age": [41.0, 52.5]}
    assert read["2026-12-31T00:00:00+00:00"]["age"] == [41.0, 52.5, None]
    wrong = TableSettings(source="sql", connection="warehouse", query="select secret_column from visits")
    with pytest.raises(Unreadable) as refused:
        read_table(wrong, Path(), {}, ["patient"])
    assert "secret_column" not in str(refused.value)


def wait(ready: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.5)


@pytest.mark.airflow
@pytest.mark.slow
def test_airflow_runs_on_it(postgres: str, tmp_path: Path) -> None:
    federation = lay_out(tmp_path / "demo")
    home = federation.home("clinic")
    instance = Instance("clinic", home / "airflow", federation.settings["clinic"], free_ports(1, 18180)[0], "a password for tests")
    address = postgres.replace("postgresql://", "postgresql+psycopg2://")
    environment = {**instance.environment(), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": address}
    instance.prepare()
    supervisor = Supervisor(tmp_path / "processes.json")
    try:
        migrate(instance, environment)
        supervisor.start({"clinic": (instance, environment)})
        airflow = Airflow(instance.url, USER, instance.password)
        wait(lambda: airflow.healthy() and f"{WDBC.agreement}_monitor" in airflow.dags(), 180)
        run = airflow.trigger(f"{WDBC.agreement}_monitor", {})
        assert airflow.wait_run(f"{WDBC.agreement}_monitor", run, 90) == "success"
        assert [task["state"] for task in airflow.tasks(f"{WDBC.agreement}_monitor", run)] == ["skipped"]
    finally:
        supervisor.stop()
    assert not instance.database.exists()
