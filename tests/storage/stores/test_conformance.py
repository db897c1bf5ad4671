"""One suite for all stores: memory, a directory, and S3 on a real server."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tombolo.storage.stores.base import (
    BadKey,
    KeyMissing,
    KeyTaken,
    NotCreateOnly,
    Store,
    StoreRefused,
    check_key,
    check_prefix,
)
from tombolo.storage.stores.local import LocalStore
from tombolo.storage.stores.memory import MemoryStore
from tombolo.storage.stores.probe import check_create_only

S3 = pytest.param("s3", marks=[pytest.mark.s3])


@pytest.fixture(params=["memory", "directory", S3])
def store(request, tmp_path) -> Store:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "directory":
        return LocalStore(tmp_path / "store")
    return request.getfixturevalue("gateway").store("ann", prefix=f"test-{os.urandom(6).hex()}")


def test_what_is_put_is_got_listed_and_described(store):
    assert store.list() == [] == store.list("to-ben/")
    data = {"to-ben/a/1": b"one", "to-ben/a/2": b"", "to-ben/ab": os.urandom(100_000), "to-cy/a/1": b"x", "top": b"y"}
    for key, value in data.items():
        store.put(key, value)
    assert {key: store.get(key) for key in data} == data
    assert store.list() == sorted(data)
    assert store.list("to-ben/a") == ["to-ben/a/1", "to-ben/a/2", "to-ben/ab"]
    assert store.list("to-ben/a/") == ["to-ben/a/1", "to-ben/a/2"]
    assert store.list("to-b") == ["to-ben/a/1", "to-ben/a/2", "to-ben/ab"]
    assert store.stat("to-ben/ab").size == 100_000
    assert abs(store.stat("top").modified - datetime.now(UTC)) < timedelta(seconds=60)


def test_nothing_is_overwritten(store):
    store.put("k/v", b"first")
    with pytest.raises(KeyTaken):
        store.put("k/v", b"second")
    assert store.get("k/v") == b"first"
    check_create_only(store)
    assert store.list("probe/") == []


def test_missing_objects(store):
    for ask in (store.get, store.stat):
        with pytest.raises(KeyMissing):
            ask("not/there")
    store.delete("not/there")


def test_a_folder_is_no_object(store):
    store.put("a/b/c", b"1")
    for ask in (store.get, store.stat):
        with pytest.raises(KeyMissing):
            ask("a/b")
    store.delete("a/b")
    assert store.list() == ["a/b/c"]


@pytest.mark.parametrize("prefix", ["/", "/a", "a//", "../", "a/../b", "a b", "a*", "ä", "a" * 901])
def test_prefixes_that_no_key_has_are_refused(store, prefix):
    store.put("a/b", b"1")
    with pytest.raises(BadKey):
        store.list(prefix)


def test_deleted_objects_are_gone(store):
    store.put("a/b", b"1")
    store.delete("a/b")
    assert store.list("a/") == []
    store.put("a/b", b"2")
    assert store.get("a/b") == b"2"


def test_a_race_has_one_winner(store):
    def race(number: int) -> bool:
        try:
            store.put("race/key", str(number).encode())
        except KeyTaken:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        wins = list(pool.map(race, range(24)))
    assert sum(wins) == 1
    assert store.get("race/key") == str(wins.index(True)).encode()


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "../a", "a/..", "a/./b", "a b", "ä", "a\n", "a" * 256, "a/" * 450 + "b", "a\\b"]
)
def test_bad_keys_are_refused(store, key):
    for ask in (store.get, store.delete, store.stat, lambda key: store.put(key, b"")):
        with pytest.raises(BadKey):
            ask(key)


@given(st.lists(st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,20}", fullmatch=True), min_size=1, max_size=6))
def test_good_keys_are_keys(parts):
    key = "/".join(parts)
    assert check_key(key) == key
    assert all(check_prefix(key[:end]) == key[:end] for end in range(len(key) + 1))


@settings(max_examples=25, deadline=None)
@given(
    st.sets(st.from_regex(r"[ab.~][ab.-]{0,2}/[ab]{1,2}/x", fullmatch=True), max_size=6),
    st.from_regex(r"[ab./]{0,5}", fullmatch=True),
)
def test_a_directory_lists_and_refuses_as_memory_does(keys, prefix):
    def trace(store: Store) -> list[object]:
        seen: list[object] = []
        for key in sorted(keys):
            try:
                store.put(key, b"1")
            except BadKey:
                seen.append(key)
        try:
            return [*seen, store.list(), store.list(prefix)]
        except BadKey:
            return [*seen, prefix]

    with tempfile.TemporaryDirectory() as folder:
        assert trace(LocalStore(folder)) == trace(MemoryStore())


def test_a_store_that_overwrites_is_found_out():
    class Careless(MemoryStore):
        def put(self, key: str, data: bytes, permanent: bool = False) -> None:
            self.delete(key)
            super().put(key, data)

    with pytest.raises(NotCreateOnly):
        check_create_only(Careless())


def test_a_store_may_forbid_to_delete():
    class Keeper(MemoryStore):
        def delete(self, key: str) -> None:
            raise StoreRefused(self.url)

    check_create_only(Keeper())


def test_processes_race_for_one_file(tmp_path):
    program = (
        "import sys\nfrom tombolo.storage.stores.base import KeyTaken\nfrom tombolo.storage.stores.local import LocalStore\n"
        "store = LocalStore(sys.argv[1])\nprint('ready', flush=True)\nsys.stdin.readline()\n"
        "for n in range(40):\n    try:\n        store.put(f'race/{n}/key', b'x')\n        print(n)\n"
        "    except KeyTaken:\n        pass\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "store")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": dict(os.environ)}
    racers = [subprocess.Popen(command, **pipes) for _ in range(3)]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    wins = [line for racer in racers for line in racer.communicate(timeout=60)[0].split()]
    assert sorted(wins, key=int) == [str(n) for n in range(40)]


def test_only_the_owner_may_look_into_a_directory_and_nothing_else_is_left_there(tmp_path):
    store = LocalStore(tmp_path / "store")
    store.put("a/b/c", b"1")
    with pytest.raises(KeyTaken):
        store.put("a/b/c", b"2")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "store", *(tmp_path / "store").rglob("*"))}
    assert modes == {"store": 0o700, "a": 0o700, "b": 0o700, "c": 0o600}


def test_a_killed_writer_leaves_nothing_to_read(tmp_path):
    program = (
        "import sys\nfrom tombolo.storage.stores.local import LocalStore\nstore = LocalStore(sys.argv[1])\n"
        "for n in range(10**6):\n    store.put(f'k/{n}', b'x' * 500_000)\n"
    )
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "store")], env=dict(os.environ))
        deadline = time.monotonic() + 30
        while not LocalStore(tmp_path / "store").list("k/") and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        store = LocalStore(tmp_path / "store")
        found = store.list()
        assert found
        assert all(store.stat(key).size == 500_000 for key in found)
        for key in found:
            store.delete(key)


def test_links_out_of_a_directory_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    store = LocalStore(tmp_path / "store")
    store.put("a/b", b"1")
    (tmp_path / "store" / "a" / "link").symlink_to(outside / "secret")
    (tmp_path / "store" / "folder").symlink_to(outside)
    assert store.list() == ["a/b"]
    assert store.list("folder/") == []
    for key in ("a/link", "folder/secret"):
        with pytest.raises((StoreRefused, KeyMissing)):
            store.get(key)
        with pytest.raises(KeyMissing):
            store.stat(key)
    with pytest.raises(KeyTaken):
        store.put("folder/new", b"1")
    store.delete("folder/secret")
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_a_named_pipe_stops_nobody(tmp_path):
    store = LocalStore(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    seen: list[type] = []

    def ask() -> None:
        try:
            store.get("pipe")
        except KeyMissing as error:
            seen.append(type(error))

    reader = threading.Thread(target=ask, daemon=True)
    reader.start()
    reader.join(10)
    assert seen == [KeyMissing]
    assert store.list() == []


def test_a_directory_may_itself_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    Path(tmp_path / "store").symlink_to(tmp_path / "real")
    LocalStore(tmp_path / "store").put("a/b", b"1")
    assert LocalStore(tmp_path / "real").get("a/b") == b"1"
