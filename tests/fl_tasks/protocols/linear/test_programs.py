"""Vertical linear regression against the closed form on pooled data; legs, crashes and guards."""

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from tests.federation import FOREVER, Federation, federation, quiet
from tombolo.fl_tasks.learning.vertical.block import BatchTooSmall, Block
from tombolo.fl_tasks.protocols.linear import programs as linear
from tombolo.fl_tasks.runtime.session import Session

STUB = pa.table({"id": ["a"]})


def data(rows: int = 120, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 6)) @ random.normal(size=(6, 6))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return x, 100 + 20 * x @ random.normal(size=6) + random.normal(size=rows)


def pooled(x: np.ndarray, y: np.ndarray, l2: float, curvature: float = 1.0) -> np.ndarray:
    full = np.column_stack([np.ones(len(x)), x])
    ridge = np.diag([0.0] + [l2] * x.shape[1])
    return np.linalg.solve(curvature * full.T @ full / len(x) + ridge, curvature * full.T @ y / len(x))


def layout(tmp_path, protocol: str = "linear", hosts: int = 2, engine: str | None = None, **parameters) -> Federation:
    tables = {name: STUB for name in ("clinic", "lab", "mill")[: hosts + 1]}
    limits = {"minimum_batch": 50}
    return federation(tmp_path, tables, protocol=protocol, parameters=parameters, engine=engine, limits=limits)


def train(fed: Federation, module, x, y, run="run-1", stage="train", **options):
    hosts = [party for party in fed.data_parties if party != fed.guest]
    parts = np.array_split(np.arange(x.shape[1]), len(hosts) + 1)
    blocks = {fed.guest: Block(x[:, parts[0]], y, tuple(map(str, parts[0])))}
    blocks |= {host: Block(x[:, cols], None, tuple(map(str, cols))) for host, cols in zip(hosts, parts[1:], strict=True)}
    programs = {
        "guest": lambda session: module.PROGRAMS.data["guest"](session, blocks[session.me]),
        "host": lambda session: module.PROGRAMS.data["host"](session, blocks[session.me]),
        "arbiter": lambda session: module.PROGRAMS.help(session),
    }
    return fed.roles(run, module.MESSAGES, stage, programs, **options)


def weights(states, fed) -> np.ndarray:
    return np.concatenate([states[fed.guest]["w"], *[states[p]["w"] for p in fed.data_parties if p != fed.guest]])


def test_equals_the_closed_form_with_two_hosts(tmp_path):
    x, y = data()
    fed = layout(tmp_path, l2=0.01, tolerance=1e-7)
    states = train(fed, linear, x, y, fed.start(rounds=25))
    assert np.allclose(weights(states, fed), pooled(x, y, 0.01), rtol=1e-6, atol=1e-5)
    assert states["notary"]["stopped"] and states["notary"]["round"] < 25
    losses = states["clinic"]["loss"]
    assert losses == states["notary"]["loss"] and all(b <= a * (1 + 1e-6) for a, b in pairwise(losses[1:]))
    assert states["lab"]["loss"] == []


def test_legs_give_the_same_weights_as_one_go(tmp_path):
    x, y = data()
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    whole, legs = layout(tmp_path / "a", hosts=1), layout(tmp_path / "b", hosts=1)
    once = train(whole, linear, x, y, whole.start(rounds=6))
    run = legs.start(rounds=6)
    for end in (2, 4, 6):
        states = train(legs, linear, x, y, run, leg_end=end)
    assert np.abs(weights(once, whole) - weights(states, legs)).max() < 1e-9


class Killed(BaseException):
    pass


def test_a_kill_in_mid_round_changes_nothing(tmp_path, monkeypatch):
    x, y = data()
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    whole, torn = layout(tmp_path / "a", hosts=1), layout(tmp_path / "b", hosts=1)
    once = train(whole, linear, x, y, whole.start(rounds=4))
    run = torn.start(rounds=4)
    real, died = Session.send, []

    def dying(self, name, to=None, /, **columns):
        if self.me == "lab" and self.round == 3 and name == "scalars" and not died:
            died.append(name)
            raise Killed
        real(self, name, to, **columns)

    monkeypatch.setattr(Session, "send", dying)

    def again():
        x_lab = x[:, 3:]
        block = Block(x_lab, None, ("3", "4", "5"))
        for _ in range(2):
            try:
                with torn.context("lab").session(run, linear.MESSAGES, "train", FOREVER) as s:
                    return results.append(linear.PROGRAMS.data["host"](s, block))
            except Killed:
                continue

    results: list = []
    thread = threading.Thread(target=again)
    thread.start()
    programs = {
        "clinic": lambda s: linear.PROGRAMS.data["guest"](s, Block(x[:, :3], y, ("0", "1", "2"))),
        "notary": lambda s: linear.PROGRAMS.help(s),
    }

    def work(party):
        with torn.context(party).session(run, linear.MESSAGES, "train", FOREVER, quiet) as session:
            return programs[party](session)

    states = torn.run_all(work, ["clinic", "notary"])
    thread.join()
    assert died and np.abs(results[0]["w"] - once["lab"]["w"]).max() < 1e-9
    assert np.abs(states["clinic"]["w"] - once["clinic"]["w"]).max() < 1e-9


def test_mini_batches_descend(tmp_path):
    x, y = data(300)
    y = (y - y.mean()) / y.std()
    fed = layout(tmp_path, hosts=1, batch_rows=100, step=0.2)
    states = train(fed, linear, x, y, fed.start(rounds=12))
    losses = states["clinic"]["loss"]
    assert losses[-1] < 0.5 * losses[0]


def test_too_few_rows_per_column_are_refused(tmp_path):
    x, y = data(45)
    fed = layout(tmp_path, hosts=1)
    run = fed.start(rounds=2)
    with pytest.raises(BatchTooSmall) as caught, fed.context("lab").session(run, linear.MESSAGES, "t", FOREVER) as s:
        linear.PROGRAMS.data["host"](s, Block(x, None, tuple("012345")))
    assert "lab" in str(caught.value) and "45 rows" in str(caught.value)
