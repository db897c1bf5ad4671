"""One party's Airflow in a demo: its folder, its port, its secrets and its environment."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
USER = "admin"


@dataclass(frozen=True)
class Instance:
    """Folder, port and password of one party's Airflow. ``settings`` is the party settings file that its tasks read."""

    party: str
    home: Path
    settings: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        """The address of this Airflow."""
        return f"http://localhost:{self.port}"

    @property
    def database(self) -> Path:
        """The file of this Airflow's database."""
        return self.home / "airflow.db"

    def prepare(self) -> None:
        """Make the home folder and the file with the logins for Airflow's simple auth manager."""
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        logins = self.home / "passwords.json"
        logins.touch(mode=0o600)
        logins.write_text(json.dumps({USER: self.password, "viewer": self.password}))

    @staticmethod
    def shared_environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The environment of all processes: that of the caller without its Airflow settings, and the demo's settings."""
        kept = {name: value for name, value in base.items() if not name.startswith(("AIRFLOW_", "TOMBOLO_DOCS"))}
        return {
            **kept,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")]),
            "NO_PROXY": "localhost,127.0.0.1",
            "no_proxy": "localhost,127.0.0.1",
            "PYTHONWARNINGS": "ignore",
            "GX_ANALYTICS_ENABLED": "false",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }

    def environment(self) -> dict[str, str]:
        """The environment of this instance's processes.

        The settings save work, because three to five instances share two cores. Every call draws new secrets.
        """
        settings = {
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.database}",
            "CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "3",
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin,viewer:viewer",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.port),
            "API__WORKERS": "1",
            "API__BASE_URL": self.url,
            "API__INSTANCE_NAME": self.party.replace("-", " ").capitalize(),
            "API__SECRET_KEY": secrets.token_hex(32),
            "API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "DAG_PROCESSOR__REFRESH_INTERVAL": "300",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
            "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.4",
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
            "TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            "LOGGING__LOGGING_LEVEL": "INFO",
            "USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        return {
            **self.shared_environment(),
            "AIRFLOW_HOME": str(self.home),
            "TOMBOLO_PARTY": str(self.settings),
            **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        }


def free_ports(count: int, first: int) -> list[int]:
    """The lowest ``count`` free TCP ports of the loopback interface, from ``first`` on. Raises OSError if there are not enough."""
    ports: list[int] = []
    for port in range(first, first + 2000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise OSError(f"there are not {count} free ports from {first} on; stop other programs or demos (`tombolo demo-stop`)")
