"""Attacks on vertical training: what leaves a party is declared, looks uniform, and too little data is refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.federation import FOREVER
from tests.fl_tasks.protocols.linear.test_programs import data, layout, train
from tombolo.agreements.tables import TableTerms
from tombolo.agreements.terms import LimitTerms
from tombolo.fl_tasks.crypto.convolution import Convolution
from tombolo.fl_tasks.crypto.masks import residues_from_arrow
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt_residues
from tombolo.fl_tasks.learning.vertical.key_holder import own_key
from tombolo.fl_tasks.protocols.linear import programs as linear
from tombolo.fl_tasks.protocols.logistic_arbiter import programs as arbiter_oracle
from tombolo.fl_tasks.protocols.logistic_guest import programs as guest_held
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.tables.encoding import Encoder, LeverageTooHigh


@pytest.fixture
def received(monkeypatch) -> dict[tuple[str, str, int], pa.Table]:
    """Every received table by recipient, message and round."""
    found = {}
    real = Session.receive

    def receive(self, name, frm, rows=None):
        found[self.me, f"{name}<{frm}", self.round] = table = real(self, name, frm, rows)
        return table

    monkeypatch.setattr(Session, "receive", receive)
    return found


def test_what_the_key_holder_decrypts_of_gradients_is_uniform(tmp_path, received):
    x, y = data()
    fed = layout(tmp_path, hosts=1)
    run = fed.start(rounds=4)
    train(fed, linear, x, y, run)
    with fed.context("notary").session(run, linear.MESSAGES, "train", FOREVER) as session:
        key = own_key(session)
    top = []
    for (me, name, _), table in received.items():
        if me == "notary" and name.startswith("masked_gradient"):
            vector = CipherVector.from_arrow(key.public, Session.values(table, "gradient"))
            residues = decrypt_residues(key, vector)
            top += [residue * 16 // int(key.public.n) for residue in residues]
            assert all(residue > key.public.n >> 200 for residue in residues)  # a bare gradient has 60 bits
    assert len(top) == 4 * 7
    assert len(set(top)) >= 8  # spread over the whole range: 28 draws of 16 bins


def test_residues_that_hosts_get_back_do_not_fit_anothers_mask(tmp_path, received):
    x, y = data()
    fed = layout(tmp_path, hosts=2)
    run = fed.start(rounds=2)
    train(fed, linear, x, y, run)
    with fed.context("notary").session(run, linear.MESSAGES, "train", FOREVER) as session:
        public = own_key(session).public
    for (me, name, _), table in received.items():
        if name.startswith("unmasked_gradient"):
            assert me != "notary"
            values = residues_from_arrow(public, Session.values(table, "gradient"))
            assert all(value > public.n >> 200 for value in values)  # still under the recipient's own mask


def test_packed_residuals_give_a_host_its_own_sums_alone(tmp_path, received, monkeypatch):
    """The guest decrypts uniform values; of each a host gets back one digit, without those of other rows' products."""
    monkeypatch.setattr(Convolution, "pays", lambda *_: True)
    x, y = data(80)
    fed = layout(tmp_path, "logistic-guest", hosts=2)
    run = fed.start(rounds=2)
    train(fed, guest_held, np.tile(x, 2)[:, :9], (y > np.median(y)).astype(float), run)
    with fed.context("clinic").session(run, guest_held.MESSAGES, "train", FOREVER) as session:
        key = own_key(session)
    tops, returned = [], []
    for (_, name, _), table in received.items():
        if name.startswith("residual"):
            assert len(table) == 80 // Convolution(key.public, 32).rows
        if name.startswith("masked_gradient"):
            vector = CipherVector.from_arrow(key.public, Session.values(table, "gradient"))
            tops += [residue * 16 // int(key.public.n) for residue in decrypt_residues(key, vector)]
        if name.startswith("unmasked_gradient"):
            returned += residues_from_arrow(key.public, Session.values(table, "gradient"))
    assert len(tops) == len(returned) == 2 * 6
    assert len(set(tops)) >= 5
    assert all(1 << 100 < value < 1 << 128 for value in returned)  # a digit, under its own mask: a bare sum has 70 bits


def test_ciphertexts_never_repeat_between_rounds_or_parties(tmp_path, received):
    x, y = data(80)
    fed = layout(tmp_path, "logistic-arbiter", hosts=1)
    train(fed, arbiter_oracle, x, (y > np.median(y)).astype(float), fed.start(rounds=3))
    seen: set[bytes] = set()
    for (_, name, _), table in received.items():
        for column in ("c", "gradient"):
            if column in table.column_names and not name.startswith("unmasked"):
                values = Session.values(table, column).to_pylist()
                assert not seen & set(values), name
                assert len(set(values)) == len(values)
                seen |= set(values)
    assert len(seen) > 3 * 160


def test_the_arbiter_sees_nameless_magnitudes_only(tmp_path, received):
    """Order and signs of what the arbiter decrypts differ from the rows' in every round."""
    x, y = data(90)
    label = (y > np.median(y)).astype(float)
    fed = layout(tmp_path, "logistic-arbiter", hosts=1)
    seen = []
    real = arbiter_oracle.unpack

    def unpack(*words):
        values = real(*words)
        seen.append(np.array(values, dtype=float))
        return values

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arbiter_oracle, "unpack", unpack)
        states = train(fed, arbiter_oracle, x, label, fed.start(rounds=3))
    assert len(seen) == 3
    for values in seen[1:]:
        logits = x @ np.concatenate([states["clinic"]["w"][1:], states["lab"]["w"]])
        assert abs(np.corrcoef(values, logits)[0, 1]) < 0.5
        assert abs(np.sign(values).mean()) < 0.5
    assert abs(np.corrcoef(np.abs(seen[1]), np.abs(seen[2]))[0, 1]) < 0.5


def test_a_rare_level_and_a_row_of_high_leverage_do_not_get_in():
    random = np.random.default_rng(0)
    rare = ["x"] * 3 + ["y"] * 197
    table = pa.table({"a": random.normal(size=200), "kind": rare})
    encoder = Encoder.fit(table, TableTerms(), np.ones(200, dtype=bool), LimitTerms(), "lab")
    assert encoder.names == ("a",)  # three ones, and a complement with three zeros, would show single residuals
    spiky = random.normal(size=200)
    spiky[7] = 100.0
    with pytest.raises(LeverageTooHigh):
        Encoder.fit(pa.table({"a": spiky}), TableTerms(), np.ones(200, dtype=bool), LimitTerms(), "lab")
