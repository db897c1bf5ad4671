"""Ciphertext work on a real Dask cluster: the same bytes and models, no secret sent, and what happens when parts of it die."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dask
import numpy as np
import pytest
import yaml
from distributed import Client
from distributed.protocol import pickle as travelling
from typer.testing import CliRunner

from tests.cluster import Cluster, certificates, until
from tests.federation import TEST_BITS, Federation, quiet
from tests.fl_tasks.protocols.linear import test_programs as test_linear
from tests.fl_tasks.protocols.secureboost.parties import blocks, layout, sample, train
from tests.fl_tasks.protocols.secureboost.test_training import same
from tombolo.cli.app import app
from tombolo.fl_tasks.crypto import cluster as clusters
from tombolo.fl_tasks.crypto import pool as pools
from tombolo.fl_tasks.crypto.cluster import open_cluster
from tombolo.fl_tasks.crypto.errors import InvalidCiphertext, WorkersLost
from tombolo.fl_tasks.crypto.histogram import bin_sums, compress
from tombolo.fl_tasks.crypto.matvec import transposed_product
from tombolo.fl_tasks.crypto.paillier import PrivateKey
from tombolo.fl_tasks.crypto.pool import Pool
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt, encrypt, short_bytes
from tombolo.fl_tasks.protocols.linear import programs as linear
from tombolo.fl_tasks.protocols.secureboost import programs as secureboost
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.storage.canonical import parse


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    root = tmp_path_factory.mktemp("cluster")
    made = Cluster(root, certificates(root))
    own = {"ca-file": made.tls["ca-file"], "client.cert": made.tls["cert"], "client.key": made.tls["key"]}
    try:
        made.start(2)
        with dask.config.set({f"distributed.comm.tls.{name}": str(path) for name, path in own.items()}):
            with open_cluster(made.address) as pool:
                until(lambda: pool.map(len_of, [(0,), (1,)], [1, 1]))  # the workers have done their imports
            yield made
    finally:
        made.stop()


def len_of(value: int) -> bytes:
    return bytes([value])


@pytest.fixture(autouse=True)
def everything_travels(monkeypatch) -> None:
    monkeypatch.setattr(pools, "_WORTH_SHIPPING_US", 0.0)


@pytest.fixture
def pool(cluster) -> Iterator[Pool]:
    with open_cluster(cluster.address) as opened:
        yield opened


def on_cluster(fed: Federation, address: str | None) -> Federation:
    for party in fed.parties:
        settings = yaml.safe_load(fed.settings(party).read_text())
        fed.settings(party).write_text(yaml.safe_dump({**settings, "executor": address}))
    return fed


def held_up(address: str, name: str, work: Callable[[], Any], then: Callable[[], None]) -> Any:
    """What ``work()`` gives if ``then()`` happens while a stopped worker has been given something to do."""
    with Client(address.replace("dask://", "tcp://"), set_as_default=False) as client, ThreadPoolExecutor(1) as thread:
        workers = client.scheduler_info()["workers"]
        victim = next(one for one, facts in workers.items() if str(facts["name"]) == name)
        done = thread.submit(work)
        until(lambda: client.processing()[victim], lambda: done.done() and done.result())
        then()
        return done.result()


def test_kernels_give_the_same_bytes(pool, private, monkeypatch):
    random = np.random.default_rng(1)
    values = [int(v) for v in random.integers(-(2**40), 2**40, 90)]
    v = encrypt(private.public, values, pool)
    assert decrypt(private, v) == values
    assert decrypt(private, v.rerandomise(pool).rerandomise_full(pool=pool), pool) == values
    assert v.times(values, pool) == v.times(values)
    bins = random.integers(0, 5, (90, 3))
    assert bin_sums(bins, [5, 5, 5], v, pool) == bin_sums(bins, [5, 5, 5], v)
    assert compress(v, 64, pool) == compress(v, 64)
    x = random.integers(-(2**23), 2**23, (90, 7))
    x[:, 2:5] %= 3
    monkeypatch.setattr("tombolo.fl_tasks.crypto.matvec._TASK_US", 100.0)
    for more in (0.0, 100.0):  # by columns, by rows
        monkeypatch.setattr("tombolo.fl_tasks.crypto.matvec._MORE_WORK", more)
        assert transposed_product(x, v, pool) == transposed_product(x, v)


def test_equal_calls_are_computed_each_for_itself(pool, private):
    """Encryptions of zero that were used twice would show the difference of what they hide."""
    size = 3 * private.public.width
    made = [pool.submit(short_bytes, (int(private.public.n), 3), size) for _ in range(4)]
    assert len({value for one in made for value in CipherVector(private.public, one.result()).values()}) == 12


def test_errors_of_the_work_come_back_as_they_are(cluster, pool, private):
    """And Dask, which logs what failed, has nothing of it to log but the kernel's name."""
    v = CipherVector(private.public, bytes(20 * private.public.width))  # zeros are no ciphertexts
    with pytest.raises(InvalidCiphertext):
        transposed_product(np.full((20, 4), -1), v, pool)

    def told() -> list[str]:
        logs = "".join((cluster.root / f"worker-{number}.log").read_text() for number in range(2))
        return [line for line in logs.splitlines() if line.startswith("Task:")]

    until(told)
    assert all(line.endswith(" _task()>") for line in told())


def test_models_are_the_same_and_nothing_secret_travels(cluster, tmp_path, monkeypatch):
    sent: list[bytes] = []

    def recorded(value: Any, *, buffer_callback: Any = None, **options: Any) -> bytes:
        found = dumps(value, buffer_callback=buffer_callback, **options)
        sent.append(found + dumps(value))
        return found

    dumps = travelling.dumps
    monkeypatch.setattr(travelling, "dumps", recorded)
    (tmp_path / "trees").mkdir()
    boosted = on_cluster(layout(tmp_path / "trees"), cluster.address)
    dealt = blocks(boosted, *sample())
    boosted.start(rounds=2)
    same(boosted, dealt, train(boosted, dealt), 2)
    weights = []
    for name in (None, cluster.address):
        root = tmp_path / str(name is None)
        root.mkdir()
        fed = on_cluster(test_linear.layout(root, hosts=1), name)
        states = test_linear.train(fed, linear, *test_linear.data(), fed.start(rounds=3))
        weights.append(test_linear.weights(states, fed))
    np.testing.assert_array_equal(*weights)

    wire = b"".join(sent)
    assert all(kernel in wire for kernel in (b"short_bytes", b"full_bytes", b"_block", b"_compressed", b"_task"))
    for federation, holder in ((boosted, "clinic"), (fed, "notary")):
        held, secrets = secrets_of(federation, holder)
        assert appears(int(held.public.n), wire)
        factors = held.to_bytes()[1:]
        p, q = factors[: len(factors) // 2], factors[len(factors) // 2 :]
        assert not appears(int.from_bytes(p, "big"), wire) and not appears(int.from_bytes(q, "big"), wire)
        assert not [name for name, secret in secrets.items() if secret in wire or secret.hex().encode() in wire]


def appears(number: int, wire: bytes) -> bool:
    """Big-endian as our buffers have numbers, little-endian as pickle does, or in digits."""
    width = (number.bit_length() + 7) // 8
    return any(form in wire for form in (number.to_bytes(width, "big"), number.to_bytes(width, "little"), str(number).encode()))


def secrets_of(fed: Federation, holder: str) -> tuple[PrivateKey, dict[str, bytes]]:
    """The decryption key of a run, and every key and seed of every party."""
    secrets: dict[str, bytes] = {}
    for party in fed.parties:
        context = fed.context(party)
        area, keys = context.run_area("run-1"), context.keys
        secrets |= {f"{party} {name}": getattr(keys, name).raw for name in ("signing", "sealing", "vault")}
        secrets[f"{party} prf"] = bytes.fromhex(parse(area.get("secret") or b"")["prf"])
        seeds = parse(area.get("seeds") or b'{"common":null,"pairs":{}}')
        shared = [*seeds["pairs"].values(), *([seeds["common"]] if seeds["common"] else [])]
        secrets |= {f"{party} seed {number}": bytes.fromhex(seed) for number, seed in enumerate(shared)}
    stored = fed.context(holder).run_area("run-1").area("train").get("paillier")
    assert stored is not None and all(len(secret) >= 32 for secret in secrets.values())
    return PrivateKey.from_bytes(stored, TEST_BITS), secrets


def test_without_a_certificate_nobody_gets_in(cluster, monkeypatch):
    monkeypatch.setattr(clusters, "_CONNECT_SECONDS", 1.0)
    nothing = {"distributed.comm.tls.client.cert": None, "distributed.comm.tls.client.key": None}
    with dask.config.set(nothing), pytest.raises(WorkersLost, match="There is no scheduler"), open_cluster(cluster.address):
        pass


def test_preflight_counts_the_workers(cluster, tmp_path):
    fed = on_cluster(test_linear.layout(tmp_path, hosts=1), cluster.address)
    shown = CliRunner().invoke(app, ["preflight", "--settings", str(fed.settings("lab"))]).stdout
    assert "ok    executor: 2 workers" in shown


def test_a_worker_killed_in_mid_round_changes_nothing(cluster, tmp_path):
    """The last of this cluster's tests."""
    fed = on_cluster(layout(tmp_path), cluster.address)
    dealt = blocks(fed, *sample())
    fed.start(rounds=2)
    cluster.signal("worker-0", signal.SIGSTOP)
    states = held_up(cluster.address, "0", lambda: train(fed, dealt), lambda: cluster.kill("worker-0"))
    same(fed, dealt, states, 2)


def test_a_lost_cluster_is_told_and_the_run_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    (tmp_path / "cluster").mkdir()
    lonely = Cluster(tmp_path / "cluster")
    fed = layout(tmp_path)
    dealt = blocks(fed, *sample())
    run = fed.start(rounds=2)
    try:
        lonely.start(0)
        monkeypatch.setattr(clusters, "_EMPTY_SECONDS", 0.2)
        with pytest.raises(WorkersLost, match="no workers"), open_cluster(lonely.address):
            pass
        monkeypatch.setattr(clusters, "_EMPTY_SECONDS", 60.0)
        monkeypatch.setattr(pools, "_CHUNK_US", 100.0)
        lonely.add_worker(0)
        on_cluster(fed, lonely.address)
        train(fed, dealt, leg_end=1)
        lonely.signal("worker-0", signal.SIGSTOP)

        def second_round() -> None:
            with fed.context("clinic").session(run, secureboost.MESSAGES, "train", Wait(0), quiet) as session:
                secureboost.PROGRAMS.data["guest"](session, dealt["clinic"])

        with pytest.raises(WorkersLost, match=r"TMB-CRYPTO-011 \(party clinic, step train\)"):
            held_up(lonely.address, "0", second_round, lambda: lonely.kill("scheduler"))
    finally:
        lonely.stop()
    same(on_cluster(fed, None), dealt, train(fed, dealt), 2)


def test_an_address_where_nobody_listens(monkeypatch):
    monkeypatch.setattr(clusters, "_CONNECT_SECONDS", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with (
            pytest.raises(WorkersLost, match="There is no scheduler at dask://"),
            open_cluster(f"dask://127.0.0.1:{taken.getsockname()[1]}"),
        ):
            pass
