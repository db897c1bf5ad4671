"""A real Dask cluster for tests: a scheduler and workers in processes of their own on loopback, with TLS or without."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Cluster:
    """Workers are called by number; ``tls`` holds the options for :func:`certificates`."""

    root: Path
    tls: Mapping[str, Path] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, workers: int) -> None:
        host = (
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--dashboard-address",
            "127.0.0.1:0",
            "--scheduler-file",
            "scheduler.json",
        )
        self._process("scheduler", *host, *(("--protocol", "tls") if self.tls else ()))
        until(lambda: self._described().get("address"), self._alive)
        for number in range(workers):
            self.add_worker(number)

    def add_worker(self, number: int) -> None:
        one = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
        self._process(f"worker-{number}", self._described()["address"], "--name", str(number), *one)

    def _process(self, name: str, *options: str) -> None:
        """A process that dies with this one, even where this one is killed and nobody can clean up."""
        program = ("-m", "distributed.cli.dask_" + name.split("-")[0], *options)
        secured = [word for option, path in self.tls.items() for word in (f"--tls-{option}", str(path))]
        command = ("setpriv", "--pdeathsig", "KILL", sys.executable, *program, *secured)
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        environment = {**os.environ, "PYTHONPATH": path, "DASK_TEMPORARY_DIRECTORY": str(self.root)}
        with (self.root / f"{name}.log").open("wb") as out:
            self.processes[name] = subprocess.Popen(command, cwd=self.root, stdout=out, stderr=out, env=environment)

    def _described(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.root / "scheduler.json").read_text())
        except (OSError, ValueError):
            return {}
        return found

    def _alive(self) -> None:
        assert all(one.poll() is None for one in self.processes.values()), f"see {self.root}"

    @property
    def address(self) -> str:
        """As the party settings have it."""
        return str(self._described()["address"]).replace("tcp://", "dask://")

    def signal(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes.pop(name).wait()

    def stop(self) -> None:
        for name in reversed(list(self.processes)):
            self.kill(name)


def until(found: Callable[[], object], check: Callable[[], object] = lambda: None, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        check()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def certificates(root: Path) -> dict[str, Path]:
    """An authority of the cluster's own and one certificate under it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def build(name: str, issuer: str, public: Any, by: Any, authority: bool) -> x509.Certificate:
        def called(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        now = datetime.now(UTC)
        begun = x509.CertificateBuilder().subject_name(called(name)).issuer_name(called(issuer)).public_key(public)
        begun = begun.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        begun = begun.not_valid_after(now + timedelta(days=1)).add_extension(x509.BasicConstraints(authority, None), critical=True)
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        return begun.add_extension(names, critical=False).sign(by, hashes.SHA256())

    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    signed = {
        "ca-file": build("authority", "authority", authority.public_key(), authority, True),
        "cert": build("cluster", "authority", own.public_key(), authority, False),
    }
    paths = {name: root / f"{name}.pem" for name in ("ca-file", "cert", "key")}
    for name, one in signed.items():
        paths[name].write_bytes(one.public_bytes(serialization.Encoding.PEM))
    kept = own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    paths["key"].write_bytes(kept)
    return paths
