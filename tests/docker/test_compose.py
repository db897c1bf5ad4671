"""The compose file, parsed: what is pinned, who shares a network with whom, and that the image installs as CI does."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

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


def test_secrets_come_from_files_of_one_party_alone():
    for name, service in SERVICES.items():
        assert service["env_file"] == [f"secrets/{owner(name)}.env"]
        shown = str(service.get("environment", {}))
        assert not re.search(r"PASSWORD|SECRET_KEY|FERNET|JWT", shown), name


def test_stores_get_bucket_and_policy_before_anything_runs():
    for party in PARTIES:
        assert SERVICES[f"{party}-scheduler"]["depends_on"][f"{party}-store-init"]["condition"] == "service_completed_successfully"
        peers = SERVICES[f"{party}-store-init"]["environment"]["TOMBOLO_PEERS"]
        assert {pair.split("=")[0] for pair in peers.split()} == set(PARTIES) - {party}


def test_the_image_installs_like_make_install():
    docker, make = (ROOT / "docker" / "Dockerfile").read_text(), (ROOT / "Makefile").read_text()
    step = "--require-hashes --only-binary :all: -r requirements.lock"
    assert step in docker
    assert step in make
    copied = set(re.findall(r"^COPY (\w+) \1$", docker, re.M))
    assert copied == {"storage", "contracts", "fl_tasks", "operators", "cli", "dags", "plugins"}


def test_compose_accepts_the_file(tmp_path):
    if shutil.which("docker") is None or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        return  # the tests above parse the file themselves
    folder = tmp_path / "docker"
    shutil.copytree(ROOT / "docker", folder)
    (folder / "secrets").mkdir(exist_ok=True)
    for party in PARTIES:
        (folder / "secrets" / f"{party}.env").write_text("")
    run = subprocess.run(["docker", "compose", "-f", str(folder / "compose.yaml"), "config", "-q"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.s3
@pytest.mark.xdist_group("rgw")
def test_store_init_prepares_a_real_bucket(gateway, monkeypatch, capsys):
    import importlib.util

    spec = importlib.util.spec_from_file_location("store_init", ROOT / "docker" / "store_init.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    access, secret = gateway.users["cy"]
    monkeypatch.setenv("TOMBOLO_S3_ACCESS_KEY", access)
    monkeypatch.setenv("TOMBOLO_S3_SECRET_KEY", secret)
    monkeypatch.setenv("TOMBOLO_PEERS", "ann=arn:aws:iam:::user/ann")
    module.main(f"s3://made-by-init/?endpoint=http://127.0.0.1:{gateway.port}")
    assert "create-only" in capsys.readouterr().out
    from storage.stores.base import StoreRefused
    from storage.stores.minio import MinioStore

    theirs = MinioStore(gateway.config("cy", "ann").model_copy(update={"bucket": "made-by-init"}))
    assert theirs.list("to-ann/") == []
    with pytest.raises(StoreRefused):
        theirs.list("to-ben/")
