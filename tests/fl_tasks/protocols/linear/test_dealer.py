"""Linear regression on dealt shares: the closed form, legs and crashes, and what does not fit is refused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tests.federation import FOREVER, Federation, quiet
from tests.fl_tasks.protocols.linear.test_programs import layout, pooled, train, weights
from tombolo.fl_tasks.learning.rounding import shown
from tombolo.fl_tasks.learning.vertical import dealt_gradient as gradient
from tombolo.fl_tasks.learning.vertical.dealt_gradient import MatrixChanged
from tombolo.fl_tasks.learning.vertical.dealt_quadratic import BadScale, PartTooLarge
from tombolo.fl_tasks.learning.vertical.key_holder import WrongLength
from tombolo.fl_tasks.learning.vertical.rows import VerticalRows
from tombolo.fl_tasks.protocols.linear import dealer as linear
from tombolo.fl_tasks.protocols.logistic_taylor import dealer as taylor
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.shares.dealt import WrongProduct
from tombolo.storage.schema import ForeignNumber, TooManyRows


def dealt(tmp_path, name: str = "", hosts: int = 2, protocol: str = "linear", **parameters) -> Federation:
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    return layout(folder, protocol, hosts, "dealer", **parameters)


def rows(count: int = 300):
    random = np.random.default_rng(5)
    x = random.normal(size=(count, 6)) @ (np.eye(6) + 0.3 * random.normal(size=(6, 6)))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return x, 100 + 20 * x @ random.normal(size=6) + random.normal(size=count)


@pytest.mark.parametrize("hosts", [1, 3])
def test_equals_the_closed_form(tmp_path, hosts):
    x, y = rows()
    fed = dealt(tmp_path, hosts=hosts, l2=0.01, tolerance=1e-7)
    states = train(fed, linear, x, y, fed.start(rounds=30))
    assert weights(states, fed) == pytest.approx(pooled(x, y, 0.01), abs=1e-4)
    losses = states["notary"]["loss"]
    assert states["clinic"]["loss"] == [shown(loss) for loss in losses]
    assert all(b <= a * (1 + 1e-6) for a, b in pairwise(losses[1:]))
    w = weights(states, fed)
    loss = float(((w[0] + x @ w[1:] - y) ** 2).mean() / 2 + 0.005 * w[1:] @ w[1:])
    assert losses[-1] == pytest.approx(loss, rel=1e-6)
    assert states["lab"]["loss"] == []


@pytest.mark.parametrize("unit", [1e-6, 1e4])
def test_the_targets_unit_does_not_matter(tmp_path, unit):
    x, y = rows()
    fed = dealt(tmp_path, hosts=1, l2=0.01, tolerance=0)
    states = train(fed, linear, x, unit * y, fed.start(rounds=12))
    assert weights(states, fed) / unit == pytest.approx(pooled(x, y, 0.01), rel=1e-5, abs=1e-4)


def test_taylor_reaches_the_minimum_of_its_own_loss(tmp_path):
    x, y = rows()
    y = (y > np.median(y)).astype(float)
    fed = dealt(tmp_path, hosts=1, protocol="logistic-taylor", tolerance=1e-7)
    states = train(fed, taylor, x, y, fed.start(rounds=40))
    full, ridge = np.column_stack([np.ones(len(x)), x]), np.diag([0.0] + [0.001] * x.shape[1])
    exact = np.linalg.solve(full.T @ full / (4 * len(x)) + ridge, full.T @ (y - 0.5) / len(x))
    assert weights(states, fed) == pytest.approx(exact, abs=1e-5)


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    ("party", "message", "round"),
    [("lab", "masked_columns", 0), ("lab", "product", 2), ("clinic", "residual", 2), ("notary", "correction", 2)],
)
def test_a_kill_anywhere_repeats_the_same_bytes(tmp_path, monkeypatch, party, message, round):
    """The killed party's sendings are compared with those of its second try: the values, before they are sealed."""
    x, y = rows()
    fed = dealt(tmp_path)
    run = fed.start(rounds=3)
    real, sent = Session.send, {}

    def dying(self, name, to=None, /, **columns):
        if self.me == party and name != "public_key":
            values = tuple((key, np.asarray(value).tobytes()) for key, value in columns.items())
            assert sent.setdefault((name, to, self.round), values) == values
        real(self, name, to, **columns)
        if (self.me, name, self.round) == (party, message, round) and "died" not in sent:
            sent["died"] = ()
            raise Killed

    monkeypatch.setattr(Session, "send", dying)
    hosts = {"lab": x[:, 2:4], "mill": x[:, 4:]}

    def work(me):
        while True:
            try:
                with fed.context(me).session(run, linear.MESSAGES, "train", FOREVER, quiet) as session:
                    if session.role == "arbiter":
                        return linear.PROGRAMS.help(session)
                    if session.role == "guest":
                        return linear.PROGRAMS.data["guest"](session, VerticalRows(x[:, :2], y, ("0", "1")))
                    return linear.PROGRAMS.data["host"](session, VerticalRows(hosts[me], None, ("a", "b")))
            except Killed:
                continue

    states = fed.run_all(work)
    assert "died" in sent
    assert weights(states, fed)[0] == pytest.approx(y.mean(), rel=0.05)


def test_one_mask_covers_one_matrix(tmp_path):
    """A retried task with other columns, other rows, or the same rows in another order is refused before anything is sent."""
    x, y = rows()
    fed = dealt(tmp_path, hosts=1)
    run = fed.start(rounds=4)
    train(fed, linear, x, y, run, leg_end=2)
    other = x[:, 3:].copy()
    other[17, 0] += 2.0**-20
    sent = len(fed.context("lab").books(run).entries("sent"))
    for changed in (other, x[::-1, 3:], x[1:, 3:], x[:, 3:5]):
        with pytest.raises(MatrixChanged), fed.context("lab").session(run, linear.MESSAGES, "train", FOREVER) as session:
            linear.PROGRAMS.data["host"](session, VerticalRows(np.ascontiguousarray(changed), None, ("a", "b", "c")))
    assert len(fed.context("lab").books(run).entries("sent")) == sent


def test_every_training_has_masks_of_its_own(tmp_path, monkeypatch):
    x, y = rows()
    fed = dealt(tmp_path, hosts=1)
    seeds = []
    real = gradient.Masks

    def masks(seed):
        seeds.append(seed)
        return real(seed)

    monkeypatch.setattr(gradient, "Masks", masks)
    for run, stage in ((fed.start("run-1", rounds=1), "train"), (fed.start("run-2", rounds=1), "train"), ("run-2", "retrain-1")):
        train(fed, linear, x, y, run, stage)
    assert len(seeds) == 2 * 6 and len(set(seeds)) == 6  # three trainings, two parties; each seed at the dealer and at its party


def corrupted(monkeypatch, sender, name, change):
    """From now on ``sender``'s message ``name`` carries ``change(columns)``."""
    real = Session.send

    def send(self, message, to=None, /, **columns):
        real(self, message, to, **(change(columns) if (self.me, message) == (sender, name) else columns))

    monkeypatch.setattr(Session, "send", send)


@pytest.mark.parametrize(
    ("sender", "name", "column", "change", "error"),
    [
        ("notary", "correction", "share", lambda v: v + np.uint64(1), WrongProduct),
        ("notary", "correction", "share", lambda v: v[1:], WrongLength),
        ("notary", "correction", "share", lambda v: np.append(v[:-1] + np.uint64(2**40), v[-1]), WrongProduct),
        ("mill", "product", "share", lambda v: v * np.uint64(3), WrongProduct),
        ("mill", "masked_columns", "x", lambda v: v[:-1], WrongLength),
        ("mill", "columns", "count", lambda v: 31, WrongLength),
        ("mill", "columns", "count", lambda v: -1, ForeignNumber),
        ("lab", "partial_residual", "d", lambda v: v[:-1], WrongLength),
        ("clinic", "residual", "d", lambda v: np.append(v, v), TooManyRows),
        ("clinic", "scale", "exponent", lambda v: 70, BadScale),
        ("notary", "seed", "seed", lambda v: v[:16], gradient.BadSeed),
    ],
)
def test_what_a_peer_or_the_dealer_makes_wrong_is_refused(tmp_path, monkeypatch, sender, name, column, change, error):
    x, y = rows()
    fed = dealt(tmp_path)
    run = fed.start(rounds=2)
    corrupted(monkeypatch, sender, name, lambda columns: {**columns, column: change(columns[column])})
    with pytest.raises(error):
        train(fed, linear, x, y, run)


def test_a_dealer_whose_masks_do_not_fit_is_found_out(tmp_path, monkeypatch):
    """It deals one seed and computes with another."""
    x, y = rows()
    fed = dealt(tmp_path)
    run = fed.start(rounds=2)
    corrupted(monkeypatch, "notary", "seed", lambda columns: {"seed": bytes(reversed(columns["seed"]))})
    with pytest.raises(WrongProduct):
        train(fed, linear, x, y, run)


def test_parts_beyond_the_scale_are_refused(tmp_path):
    """Two nearly equal columns at two parties, hardly a penalty, and a target that only their difference explains."""
    random = np.random.default_rng(1)
    x = random.normal(size=(300, 6))
    x[:, 5] = x[:, 0] + 1e-4 * random.normal(size=300)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    fed = dealt(tmp_path, hosts=1, l2=0, tolerance=0)
    with pytest.raises(PartTooLarge):
        train(fed, linear, x, 1e4 * (x[:, 0] - x[:, 5]), fed.start(rounds=200))
