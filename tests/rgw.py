"""A real S3 server for tests: one Ceph RGW with its monitor and disk daemon on loopback, from Debian's packages."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tombolo.storage.stores import policy
from tombolo.storage.stores.minio import MinioStore, S3Config, connect

PROGRAMS = ("radosgw", "ceph-mon", "ceph-osd", "ceph", "radosgw-admin", "ceph-authtool", "monmaptool", "setpriv")

_CONF = """
[global]
fsid = {fsid}
mon host = 127.0.0.1:{mon}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms mon service mode = crc
ms mon cluster mode = crc
mon initial members = a
mon allow pool size one = true
mon max pg per osd = 2000
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
run dir = {root}/run
admin socket = {root}/run/$name.asok
log file = {root}/log/$name.log
keyring = {root}/keyring

[mon.a]
host = localhost
mon data = {root}/mon
mon addr = 127.0.0.1:{mon}

[osd.0]
host = localhost
osd data = {root}/osd
osd objectstore = bluestore
bluestore block size = 4294967296
bluestore block create = true
osd memory target = 939524096

[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw enable usage log = false
rgw data = {root}/rgw
"""


@dataclass
class Gateway:
    """A running server. Every party has a user of its own and a bucket ``party-<name>`` that its peers may read in part."""

    root: Path
    port: int
    users: dict[str, tuple[str, str]] = field(default_factory=dict)
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def command(self, *words: str) -> str:
        run = subprocess.run(words, cwd=self.root, capture_output=True, text=True, timeout=120)
        assert run.returncode == 0, f"{words[0]}: {run.stderr[-500:]}"
        return run.stdout

    def daemon(self, *words: str) -> None:
        """Start a program that dies with this process, even where that is killed and nobody can clean up."""
        with (self.root / "log" / f"{words[0]}.out").open("wb") as out:
            command = ("setpriv", "--pdeathsig", "KILL", *words, "-f")
            self.daemons.append(subprocess.Popen(command, cwd=self.root, stdin=subprocess.DEVNULL, stdout=out, stderr=out))

    def start(self, mon: int) -> None:
        for name in ("mon", "osd", "run", "log", "rgw"):
            (self.root / name).mkdir()
        conf = ("-c", "ceph.conf")
        fsid = str(uuid.uuid4())
        (self.root / "ceph.conf").write_text(_CONF.format(fsid=fsid, mon=mon, port=self.port, root=self.root))
        allow = ("--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
        self.command("ceph-authtool", "keyring", "--create-keyring", "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        for name in ("client.admin", "client.rgw.a"):
            self.command("ceph-authtool", "keyring", "--gen-key", "-n", name, *allow)
        self.command("monmaptool", "--create", "--clobber", "--add", "a", f"127.0.0.1:{mon}", "--fsid", fsid, "monmap")
        self.command("ceph-mon", *conf, "--mkfs", "-i", "a", "--monmap", "monmap", "--keyring", "keyring")
        self.daemon("ceph-mon", *conf, "-i", "a")
        disk = str(uuid.uuid4())
        self.command("ceph", *conf, "osd", "new", disk)
        self.command("ceph-osd", *conf, "-i", "0", "--mkfs", "--osd-uuid", disk)
        self.daemon("ceph-osd", *conf, "-i", "0")
        self.daemon("radosgw", *conf, "-n", "client.rgw.a")
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        raise AssertionError(f"radosgw did not answer; see {self.root}/log")

    def stop(self) -> None:
        for daemon in reversed(self.daemons):
            daemon.kill()
            daemon.wait()

    def add_user(self, party: str) -> None:
        access, secret = f"{party}key", secrets.token_hex(16)
        who = (f"--uid={party}", f"--display-name={party}", f"--access-key={access}", f"--secret-key={secret}")
        self.command("radosgw-admin", "-c", "ceph.conf", "user", "create", *who)
        self.users[party] = (access, secret)

    def config(self, owner: str, as_party: str, prefix: str = "") -> S3Config:
        """``owner``'s bucket seen with ``as_party``'s credentials."""
        access, secret = self.users[as_party]
        return S3Config(
            endpoint=f"127.0.0.1:{self.port}",
            bucket=f"party-{owner}",
            prefix=prefix,
            access_key=access,
            secret_key=secret,
            secure=False,
        )

    def store(self, owner: str, as_party: str | None = None, prefix: str = "") -> MinioStore:
        return MinioStore(self.config(owner, as_party or owner, prefix))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The server with users ann, ben and cy, their buckets, and the peer policies applied."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"Debian's radosgw, ceph-mon and ceph-osd are not installed ({', '.join(missing)})")
    running = Gateway(tmp_path_factory.mktemp("rgw"), free_port())
    try:
        running.start(free_port())
        for party in ("ann", "ben", "cy"):
            running.add_user(party)
        for party in running.users:
            client = connect(running.config(party, party))
            policy.ensure_bucket(client, f"party-{party}")
            peers = {peer: f"arn:aws:iam:::user/{peer}" for peer in running.users if peer != party}
            policy.apply(client, f"party-{party}", peers)
        yield running
    finally:
        running.stop()
