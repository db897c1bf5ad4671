"""What only S3 has: users, policies, and a server that must honour conditional writes."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from minio.error import S3Error

from tests.rgw import free_port
from tombolo.storage.books import Books
from tombolo.storage.exchange import Exchange, Peer, Self
from tombolo.storage.identity import PartyKeys
from tombolo.storage.private import PrivateArea
from tombolo.storage.schema import Message, Public
from tombolo.storage.stores import policy
from tombolo.storage.stores.base import (
    BadKey,
    BadStoreAddress,
    KeyMissing,
    KeyTaken,
    NotCreateOnly,
    StoreRefused,
    StoreUnreachable,
)
from tombolo.storage.stores.minio import MinioStore, S3Config
from tombolo.storage.stores.opening import from_airflow_connection, open_store
from tombolo.storage.stores.probe import check_create_only

pytestmark = [pytest.mark.s3]
NUMBERS = Message("numbers", "guest", "host", {"value": Public("float64", "test")}, learns="numbers", step="1", rows=1000)


def fresh(key: str) -> str:
    return f"{key}-{os.urandom(4).hex()}"


def test_a_peer_reads_its_own_prefix_and_nothing_else(gateway):
    anns, as_ben = gateway.store("ann"), gateway.store("ann", as_party="ben")
    mine, other, private = fresh("to-ben/x"), fresh("to-cy/x"), fresh("private/x")
    for key in (mine, other, private):
        anns.put(key, b"sealed")
    assert as_ben.get(mine) == b"sealed"
    assert mine in as_ben.list("to-ben/")
    for refused in (
        lambda: as_ben.put(fresh("to-ben/y"), b"forged"),
        lambda: as_ben.delete(mine),
        lambda: as_ben.list("to-cy/"),
        lambda: as_ben.list("private/"),
        lambda: as_ben.list(""),
        lambda: as_ben.get(other),
        lambda: as_ben.get(private),
    ):
        with pytest.raises(StoreRefused) as caught:
            refused()
        assert gateway.users["ben"][1] not in str(caught.value)
    assert anns.get(mine) == b"sealed"


def test_wrong_credentials_are_refused_without_showing_them(gateway):
    config = gateway.config("ann", "ann").model_copy(
        update={"secret_key": type(gateway.config("ann", "ann").secret_key)("wrong-secret")}
    )
    with pytest.raises(StoreRefused) as caught:
        MinioStore(config).list("to-ben/")
    assert "wrong-secret" not in str(caught.value) + repr(config)


def test_artifacts_cross_two_buckets(gateway):
    keys = {name: PartyKeys.new(name) for name in ("ann", "ben")}

    def exchange(me: str, peer: str) -> Exchange:
        store = gateway.store(me)
        other = Peer(peer, keys[peer].signing.public(), keys[peer].sealing.public(), gateway.store(peer, as_party=me))
        books = Books(PrivateArea(store, keys[me].vault, "agreement", run))
        return Exchange(Self(me, keys[me].signing, keys[me].sealing, store), {peer: other}, "agreement", run, "b1" * 32, books)

    run = fresh("run")
    assert exchange("ben", "ann").fetch(NUMBERS, "ann", 1) is None
    exchange("ann", "ben").send(NUMBERS, "ben", 1, {"value": [1.0, 2.0]})
    receipt = exchange("ben", "ann").fetch(NUMBERS, "ann", 1)
    assert receipt is not None
    assert receipt.table.column("value").combine_chunks().storage.to_pylist() == [1.0, 2.0]


def test_addresses_take_credentials_from_the_environment_only(gateway, monkeypatch, tmp_path):
    access, secret = gateway.users["ann"]
    monkeypatch.setenv("ANN_ACCESS_KEY", access)
    monkeypatch.setenv("ANN_SECRET_KEY", secret)
    address = f"s3://party-ann/sub?endpoint=http://127.0.0.1:{gateway.port}&credentials=ANN"
    store, key = open_store(address), fresh("k")
    store.put(key, b"1")
    assert gateway.store("ann").get(f"sub/{key}") == b"1"
    assert secret not in store.url
    (tmp_path / "c.json").write_text(f'{{"access_key": "{access}", "secret_key": "{secret}"}}')
    assert open_store(address.replace("=ANN", "=file:c.json"), tmp_path).get(key) == b"1"
    for bad in (
        address.replace("=ANN", "=NOBODY"),
        f"s3://{access}:{secret}@party-ann?endpoint=http://x",
        "s3://party-ann",
        address + "&colour=red",
        address + f"&proxy=http://{access}:{secret}@proxy:3128",
        address.replace("http://", f"http://{access}:{secret}@"),
        address.replace("s3://party-ann", "s3://no"),
        address.replace("/sub?", "/s%20b?"),
        address.replace("&credentials", "/path&credentials"),
        "ftp://x/y",
    ):
        with pytest.raises(BadStoreAddress) as caught:
            open_store(bad)
        assert secret not in str(caught.value)


def test_an_airflow_connection_is_a_store(gateway):
    from airflow.sdk import Connection

    access, secret = gateway.users["ann"]
    extra = {"endpoint_url": f"http://127.0.0.1:{gateway.port}", "region_name": "us-east-1"}
    store = from_airflow_connection(
        Connection(conn_id="own", conn_type="aws", login=access, password=secret, extra=json.dumps(extra)), "/party-ann/flow"
    )
    key = fresh("k")
    store.put(key, b"1")
    assert gateway.store("ann").get(f"flow/{key}") == b"1"
    for bad in (
        Connection(conn_id="own", conn_type="aws", password=secret, extra=json.dumps(extra)),
        Connection(conn_id="own", conn_type="ssh", login=access, password=secret),
        Connection(conn_id="own", conn_type="fs"),
    ):
        with pytest.raises(BadStoreAddress) as caught:
            from_airflow_connection(bad, "/party-ann")
        assert secret not in str(caught.value)


def test_a_put_whose_answer_is_lost_has_happened_once(gateway):
    relay = LosingRelay(gateway.port)
    config = gateway.config("ann", "ann").model_copy(update={"endpoint": f"127.0.0.1:{relay.port}"})
    store, key = MinioStore(config), fresh("lost")
    relay.lose = 1
    store.put(key, b"mine")
    assert relay.lost == 1
    assert gateway.store("ann").get(key) == b"mine"
    relay.lose = 1
    with pytest.raises(KeyTaken):
        store.put(key, b"other")
    assert relay.lost == 2
    assert gateway.store("ann").get(key) == b"mine"
    relay.close()


class LosingRelay:
    """Passes bytes on to the server; of the next ``lose`` answers the server gives, the client sees none."""

    def __init__(self, port: int) -> None:
        self.lose = self.lost = 0
        self._server, self._listener = port, socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server))
            threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        try:
            while data := source.recv(65536):
                if answers and self.lose:
                    self.lose -= 1
                    self.lost += 1
                    break
                target.sendall(data)
        except OSError:
            pass
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


def test_foreign_names_in_a_bucket_are_passed_over(gateway):
    store, folder = gateway.store("ann"), fresh("to-ben/f")
    store.put(f"{folder}/k", b"1")
    for name in (f"{folder}/", f"{folder}/a b", f"{folder}/sub/", f"{folder}//x"):
        store.client.put_object("party-ann", name, io.BytesIO(b""), 0)
    assert store.list(f"{folder}/") == [f"{folder}/k"]


def test_a_store_works_on_after_a_fork(gateway):
    program = (
        "import os, sys\nfrom tombolo.storage.stores.opening import open_store\nstore = open_store(sys.argv[1])\n"
        "assert store.list('to-none/') == []\nmade = store.client\npid = os.fork()\n"
        "ok = store.list('to-none/') == [] and (store.client is made) == (pid != 0)\n"
        "if pid == 0:\n    os._exit(0 if ok else 1)\n"
        "sys.exit(0 if ok and os.waitpid(pid, 0)[1] == 0 else 1)\n"
    )
    access, secret = gateway.users["ann"]
    env = {**os.environ, "PYTHONPATH": ".", "TOMBOLO_S3_ACCESS_KEY": access, "TOMBOLO_S3_SECRET_KEY": secret}
    address = f"s3://party-ann?endpoint=http://127.0.0.1:{gateway.port}"
    run = subprocess.run([sys.executable, "-c", program, address], env=env, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("peer", ["*", "b?n", "ben/*", "ben/..", "${aws:username}"])
def test_a_policy_names_one_peer(peer):
    assert policy.peer_statements("bank-fl", "ben", "arn")[1]["Resource"] == ["arn:aws:s3:::bank-fl/to-ben/*"]
    with pytest.raises(BadKey):
        policy.peer_statements("bank-fl", peer, "arn")


def test_a_server_that_is_not_there_is_a_coded_error():
    gone = MinioStore(S3Config(endpoint=f"127.0.0.1:{free_port()}", bucket="abc", access_key="a", secret_key="b", secure=False))
    with pytest.raises(StoreUnreachable):
        gone.list("x/")


def test_rclone_speaks_the_wire_and_is_found_to_overwrite(tmp_path):
    port = free_port()
    command = [str(Path(sys.executable).parent / "rclone"), "--config", os.devnull, "serve", "s3"]
    (tmp_path / "bucket").mkdir()
    process = subprocess.Popen(
        [*command, "--addr", f"127.0.0.1:{port}", "--auth-key", "accesskeyid,secretaccesskey", str(tmp_path)]
    )
    try:
        config = S3Config(
            endpoint=f"127.0.0.1:{port}", bucket="bucket", access_key="accesskeyid", secret_key="secretaccesskey", secure=False
        )
        store, deadline = MinioStore(config), time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                store.list("")
                break
            except StoreUnreachable:
                time.sleep(0.2)
        store.put("to-ben/k", b"1")
        assert store.get("to-ben/k") == b"1"
        assert store.list("to-ben/") == ["to-ben/k"]
        with pytest.raises(KeyMissing):
            store.get("to-ben/other")
        with pytest.raises(NotCreateOnly):
            check_create_only(store)
    finally:
        process.kill()
        process.wait()


def test_the_record_is_held_where_the_bucket_has_object_lock(gateway):
    config = gateway.config("ann", "ann").model_copy(update={"bucket": f"locked-{os.urandom(4).hex()}"})
    locked, plain = MinioStore(config), gateway.store("ann")
    locked.client.make_bucket(config.bucket, object_lock=True)
    locked.put("ledger/x", b"held", permanent=True)
    locked.put("to-ben/x", b"not held")
    versions = {
        one.object_name: one.version_id for one in locked.client.list_objects(config.bucket, None, True, include_version=True)
    }
    locked.client.remove_object(config.bucket, "to-ben/x", versions["to-ben/x"])
    with pytest.raises(S3Error, match="AccessDenied"):
        locked.client.remove_object(config.bucket, "ledger/x", versions["ledger/x"])
    with pytest.raises(NotCreateOnly):  # this server drops the condition in versioned buckets, so it is refused as a store
        check_create_only(MinioStore(config))
    key = fresh("ledger/x")
    plain.put(key, b"kept", permanent=True)
    assert plain.get(key) == b"kept" and not plain.locks
