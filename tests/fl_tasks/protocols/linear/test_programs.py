"""Vertical linear regression against the closed form on pooled data; legs, crashes and guards."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from tests.federation import FOREVER, Federation, federation
from tombolo.fl_tasks.learning.rounding import shown
from tombolo.fl_tasks.learning.vertical.rows import BatchTooSmall, VerticalRows
from tombolo.fl_tasks.protocols.linear import programs as linear

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
    blocks = {fed.guest: VerticalRows(x[:, parts[0]], y, tuple(map(str, parts[0])))}
    blocks |= {host: VerticalRows(x[:, cols], None, tuple(map(str, cols))) for host, cols in zip(hosts, parts[1:], strict=True)}
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
    losses = states["notary"]["loss"]
    assert states["clinic"]["loss"] == [shown(loss) for loss in losses]
    assert all(b <= a * (1 + 1e-6) for a, b in pairwise(losses[1:]))
    assert states["lab"]["loss"] == []


class Killed(BaseException):
    pass


def test_mini_batches_descend(tmp_path):
    x, y = data(300)
    y = (y - y.mean()) / y.std()
    fed = layout(tmp_path, hosts=1, batch_rows=100, step=0.2)
    states = train(fed, linear, x, y, fed.start(rounds=12))
    losses = states["notary"]["loss"]
    assert losses[-1] < 0.5 * losses[0]


def test_too_few_rows_per_column_are_refused(tmp_path):
    x, y = data(45)
    fed = layout(tmp_path, hosts=1)
    run = fed.start(rounds=2)
    with pytest.raises(BatchTooSmall) as caught, fed.context("lab").session(run, linear.MESSAGES, "t", FOREVER) as s:
        linear.PROGRAMS.data["host"](s, VerticalRows(x, None, tuple("012345")))
    assert "lab" in str(caught.value) and "45 rows" in str(caught.value)
