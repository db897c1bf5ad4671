"""The compose file, parsed: what is pinned, who shares a network with whom, and that the image installs as CI does."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from minio.crypto import decrypt
from urllib3.response import HTTPResponse

from tombolo.storage.stores.minio import S3Config

ROOT = Path(__file__).resolve().parents[2]
PARTIES = ("clinic", "laboratory", "notary")
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def owner(service: str) -> str:
    return next(party for party in PARTIES if service.startswith(f"{party}-"))


def test_every_party_has_its_own_everything():
    for party in PARTIES:
        names = {name.removeprefix(f"{party}-") for name in SERVICES if owner(name) == party}
        assert names == {"db", "store", "store-init", "migrate", "api", "scheduler", "dag-processor", "triggerer"}


def test_no_peer_shares_a_network_with_anothers_database():
    for name, service in SERVICES.items():
        for network in service["networks"]:
            if network != "stores":
                assert network == f"{owner(name)}-inner"
        if name.endswith("-db"):
            assert service["networks"] == [f"{owner(name)}-inner"]
    assert COMPOSE["networks"]["stores"] == {"internal": True}


def test_images_are_pinned_and_ports_stay_on_loopback():
    for name, service in SERVICES.items():
        assert re.search(r":\d+\.\d+", service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert name.endswith("-api") or "ports" not in service
        if name.endswith("-store"):
            assert re.search(r"@sha256:[0-9a-f]{64}$", service["image"]), name


def test_what_others_wait_for_says_when_it_is_healthy():
    for name, service in SERVICES.items():
        for other, wait in service.get("depends_on", {}).items():
            assert wait["condition"] != "service_healthy" or "healthcheck" in SERVICES[other], f"{name} waits for {other}"
    assert all("healthcheck" in SERVICES[f"{party}-{one}"] for party in PARTIES for one in ("db", "store", "api"))


def test_only_what_runs_tasks_writes_beside_the_settings():
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            if "/etc/tombolo" in volume:
                assert volume.endswith(":ro") != name.endswith("-scheduler"), name


def test_secrets_come_from_files_of_one_party_alone():
    for name, service in SERVICES.items():
        assert service["env_file"] == [f"secrets/{owner(name)}.env"]
        shown = str(service.get("environment", {}))
        assert not re.search(r"PASSWORD|SECRET_KEY|FERNET|JWT", shown), name


def test_stores_get_bucket_and_policy_before_anything_runs():
    for party in PARTIES:
        assert SERVICES[f"{party}-scheduler"]["depends_on"][f"{party}-store-init"]["condition"] == "service_completed_successfully"
        peers = dict(pair.split("=") for pair in SERVICES[f"{party}-store-init"]["environment"]["TOMBOLO_PEERS"].split())
        assert peers == {peer: peer for peer in set(PARTIES) - {party}}, "RustFS knows a principal by its access key"


def secrets(folder: Path) -> dict[str, dict[str, str]]:
    files = {party: folder / "secrets" / f"{party}.env" for party in PARTIES}
    return {party: dict(line.split("=", 1) for line in file.read_text().splitlines()) for party, file in files.items()}


def test_secrets_are_made_once_and_pairs_agree(tmp_path):
    script = shutil.copy(ROOT / "docker" / "secrets.sh", tmp_path)
    subprocess.run(["bash", script], check=True, capture_output=True)
    made = secrets(tmp_path)
    for owner in PARTIES:
        assert (tmp_path / "secrets" / f"{owner}.env").stat().st_mode & 0o077 == 0
        for reader in set(PARTIES) - {owner}:
            assert made[reader][f"{owner.upper()}_STORE_ACCESS_KEY"] == reader
            assert made[reader][f"{owner.upper()}_STORE_SECRET_KEY"] == made[owner][f"PEER_{reader.upper()}_SECRET_KEY"]
    values = [value for party in made.values() for name, value in party.items() if "SECRET" in name]
    assert len(set(values)) == len(values) - len(PARTIES) - 6, "only the owner's own key and each of six pairs stand twice"
    subprocess.run(["bash", script], check=True, capture_output=True)
    assert secrets(tmp_path) == made


def test_the_image_installs_like_make_install():
    docker, make = (ROOT / "docker" / "Dockerfile").read_text(), (ROOT / "Makefile").read_text()
    step = "--require-hashes --only-binary :all: -r requirements.lock"
    assert step in docker
    assert step in make
    copied = set(re.findall(r"^COPY (\w+) \1$", docker, re.M))
    assert copied == {"storage", "agreements", "fl_tasks", "operators", "cli", "dags", "plugins", "src"}
    sent = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in re.findall(r"^COPY (.+) \S+$", docker, re.M):
        assert set(line.split()) <= sent, "the build context holds what the image copies"


@pytest.mark.unpackaged
def test_compose_accepts_the_file(tmp_path):
    if shutil.which("docker") is None or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker compose is not installed; the tests above parse the file themselves")
    folder = tmp_path / "docker"
    shutil.copytree(ROOT / "docker", folder)
    (folder / "secrets").mkdir(exist_ok=True)
    for party in PARTIES:
        (folder / "secrets" / f"{party}.env").write_text("")
    run = subprocess.run(["docker", "compose", "-f", str(folder / "compose.yaml"), "config", "-q"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def store_init() -> ModuleType:
    spec = importlib.util.spec_from_file_location("store_init", ROOT / "docker" / "store_init.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readers_are_made_through_the_admin_api_under_the_owners_key():
    """What goes over the wire, since no server with this API installs from Debian."""
    seen = []

    class Admin(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            seen.append((self.path, self.headers["Authorization"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Admin) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        config = S3Config(
            endpoint=f"127.0.0.1:{server.server_port}",
            bucket="party-clinic",
            access_key="owner",
            secret_key="owners-own",
            secure=False,
        )
        store_init().add_reader(config, "laboratory", "readers-secret")
        thread.join()
    [(path, authorization, body)] = seen
    assert path == "/minio/admin/v3/add-user?accessKey=laboratory"
    assert "Credential=owner/" in authorization
    assert b"readers-secret" not in body
    told = decrypt(HTTPResponse(io.BytesIO(body), preload_content=False), "owners-own")
    assert json.loads(told) == {"status": "enabled", "secretKey": "readers-secret"}


@pytest.mark.s3
def test_store_init_prepares_a_real_bucket(gateway, monkeypatch, capsys):
    module = store_init()
    access, secret = gateway.users["cy"]
    monkeypatch.setenv("TOMBOLO_S3_ACCESS_KEY", access)
    monkeypatch.setenv("TOMBOLO_S3_SECRET_KEY", secret)
    monkeypatch.setenv("TOMBOLO_PEERS", "ann=arn:aws:iam:::user/ann")
    module.main(f"s3://made-by-init/?endpoint=http://127.0.0.1:{gateway.port}")
    assert "create-only" in capsys.readouterr().out
    from tombolo.storage.stores.base import StoreRefused
    from tombolo.storage.stores.minio import MinioStore

    theirs = MinioStore(gateway.config("cy", "ann").model_copy(update={"bucket": "made-by-init"}))
    assert theirs.list("to-ann/") == []
    with pytest.raises(StoreRefused):
        theirs.list("to-ben/")
