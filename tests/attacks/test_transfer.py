"""Attacks on transfer: what a key holder decrypts is uniform, wrong values are refused, and labels do not follow from gradients."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.federation import FOREVER, quiet
from tests.fl_tasks.protocols.transfer.clinics import layout, numbers, trained
from tombolo.agreements.terms import LimitTerms
from tombolo.fl_tasks.crypto.masks import residues_to_arrow
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt_residues
from tombolo.fl_tasks.learning.metrics import classification
from tombolo.fl_tasks.learning.vertical.key_holder import WrongLength, own_key
from tombolo.fl_tasks.protocols.transfer import programs as transfer
from tombolo.fl_tasks.protocols.transfer.encrypted import Half, WildGradient
from tombolo.fl_tasks.protocols.transfer.net import PartyNet
from tombolo.fl_tasks.protocols.transfer.objective import Objective, SourceRows, moved, mover, pretrained
from tombolo.fl_tasks.protocols.transfer.protocol import TransferParameters, TransferTerms
from tombolo.fl_tasks.protocols.transfer.rows import TooFewForNet
from tombolo.fl_tasks.protocols.transfer.scoring import MESSAGES as SCORING
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.schema import TooManyRows


def test_nothing_of_the_data_is_disclosed_but_the_end_of_training():
    assert set(transfer.MESSAGES.disclosures()) == {"stop.yes"}
    assert not SCORING.disclosures()


def test_what_the_key_holders_decrypt_is_uniform(tmp_path, monkeypatch):
    received, real = [], Session.receive

    def receive(self, name, frm, rows=None):
        table = real(self, name, frm, rows)
        received.append((self.me, name, table))
        return table

    monkeypatch.setattr(Session, "receive", receive)
    fed, rows = layout(tmp_path, class_weights="none"), numbers()
    run = fed.start()
    trained(fed, run, rows)
    for party, name in (("hospital", "target_gradient"), ("practice", "source_gradient")):
        with fed.context(party).session(run, transfer.MESSAGES, "train", FOREVER, quiet) as session:
            key = own_key(session)
        shares = []
        for me, found, table in received:
            if (me, found) == (party, name):
                residues = decrypt_residues(key, CipherVector.from_arrow(key.public, Session.values(table, "c")))
                shares += [float(one / int(key.public.n)) for one in residues]
        assert len(shares) > 50
        assert len(set(shares)) == len(shares)
        assert np.abs(np.quantile(shares, [0.25, 0.5, 0.75]) - [0.25, 0.5, 0.75]).max() < 0.2


@pytest.mark.parametrize(("count", "error"), [(15, WildGradient), (14, WrongLength)])
def test_a_gradient_that_cannot_be_is_refused(tmp_path, monkeypatch, count, error):
    fed, rows = layout(tmp_path, class_weights="none"), numbers()
    run, real = fed.start(), Session.send

    def send(self, name, to=None, /, **columns):
        if name == "target_gradient_back":
            public = own_key(self).public
            columns["residue"] = residues_to_arrow(public, [int(public.n) // 3] * count)
        real(self, name, to, **columns)

    monkeypatch.setattr(Session, "send", send)
    with pytest.raises(error):
        trained(fed, run, rows)


@pytest.mark.parametrize(
    ("party", "name", "terms"), [("practice", "target_gradient", "source_terms"), ("hospital", "source_gradient", "target_terms")]
)
def test_nobody_has_rows_decrypted_in_the_place_of_its_sums(tmp_path, monkeypatch, party, name, terms):
    fed, rows = layout(tmp_path, class_weights="none"), numbers()
    run, send, receive, heard = fed.start(), Session.send, Session.receive, {}

    def listening(self, heard_name, frm, rows=None):
        heard[self.me, heard_name] = receive(self, heard_name, frm, rows)
        return heard[self.me, heard_name]

    def curious(self, sent, to=None, /, **columns):
        if (self.me, sent) == (party, name):
            columns["c"] = Session.values(heard[party, terms], "c")
        send(self, sent, to, **columns)

    monkeypatch.setattr(Session, "receive", listening)
    monkeypatch.setattr(Session, "send", curious)
    with pytest.raises(TooManyRows, match="at most"):
        trained(fed, run, rows)


def test_plain_values_cannot_leave(tmp_path):
    fed = layout(tmp_path)
    run = fed.start()
    with fed.context("practice").session(run, transfer.MESSAGES, "train", FOREVER, quiet) as session:
        session.enter(1)
        with pytest.raises(Exception) as caught:
            session.send("target_terms", c=pa.array([0.5, 0.25]))
    assert caught.value.code == "TMB-SCHEMA-001"


def inferred(common: int, labelled: int, seed: int) -> tuple[float, float]:
    """AUC on the labelled common rows' labels of the strongest attack that we know, and of the scores that the model itself gives.

    The target takes what the source sent for constant over the rounds: it solves its gradients for the source's term of every row
    and for the square of Phi together, by least squares, and looks at the terms along Phi, which scores give away.
    """
    rng, inputs, width = np.random.default_rng(seed), 6, 4
    cause = rng.normal(size=(common + 600, 3))
    x_a = np.clip(cause @ rng.normal(size=(3, inputs)) / 2 + 0.8 * rng.normal(size=(common + 600, inputs)), -3, 3)
    x_b = np.clip(cause[:common] @ rng.normal(size=(3, inputs)) / 2 + 1.2 * rng.normal(size=(common, inputs)), -3, 3)
    labels = (cause[:, 0] + 0.8 * rng.normal(size=common + 600) > 0.2).astype(float)
    source, objective = SourceRows.of(x_a, labels, common, labelled, False), Objective(0.1, 1e-3)
    params = TransferParameters(optimiser="adam", rate=0.03, pretraining=300, seed=1)
    party_net, half = PartyNet.of(TransferTerms(components=inputs, width=width), inputs), Half.of(width)
    w = pretrained(party_net, party_net.initial(1, "guest"), source, params, objective)
    v, y = party_net.initial(1, "host"), source.y[:labelled]
    moves, kept, equations, seen = mover(params, len(w)), {}, [], []
    for _ in range(30):
        u, u_b = party_net.features(w, x_a), party_net.features(v, x_b)
        phi = source.lead @ u
        bend = np.zeros(common)
        bend[:labelled] = (-y / 2 + u_b[:labelled] @ phi / 4) / labelled
        apart = 2 * objective.gamma / common * (u[:common] - u_b)
        seen.append(party_net.gradient(v, x_b, np.outer(bend, phi) - 2 * objective.gamma / common * u[:common]))
        jacobian, squares = party_net.jacobian(v, x_b), []
        for first, second in zip(half.first, half.second, strict=True):
            unit = np.zeros((width, width))
            unit[first, second] = unit[second, first] = 1.0
            known = u_b @ unit
            known[labelled:] = 0
            squares.append(jacobian.T @ known.ravel())
        equations.append(np.column_stack([jacobian.T, *squares]))
        slope = np.outer(source.lead, bend @ u_b)
        slope[:common] += apart
        w, moves = moves.move(w, party_net.gradient(w, x_a, slope) + objective.decay(party_net, w))
        v, kept = moved(mover(params, len(v), kept), v, party_net.gradient(v, x_b, np.outer(bend, phi) - apart))
    found = np.linalg.lstsq(np.vstack(equations), np.concatenate(seen), rcond=1e-2)[0][: common * width].reshape(common, width)
    own = classification(labels[:labelled], party_net.features(v, x_b)[:labelled] @ phi)["auc"]
    return classification(labels[:labelled], -found[:labelled] @ phi)["auc"], own


def gained(common: int, labelled: int) -> float:
    """By how much the attack is ahead of the scores, in the mean of many cases."""
    return float(np.mean([attack - own for attack, own in (inferred(common, labelled, seed) for seed in range(1, 21))]))


@pytest.mark.parametrize("common", [105, 300])
def test_labels_do_not_follow_from_all_gradients_beyond_what_scores_tell(common):
    """105 labelled rows are fifteen numbers to each of 28 weights: the fewest that the terms let pass by default."""
    assert LimitTerms().minimum_numbers_per_weight * 28 == 105 * 4
    assert gained(common, 105) < 0.04


@pytest.mark.parametrize(("common", "labelled"), [(35, 35), (60, 20)])
def test_the_attack_gains_below_the_line_and_the_guard_counts_labelled_rows(tmp_path, common, labelled):
    assert gained(common, labelled) > 0.05
    fed = layout(tmp_path, limits={"minimum_numbers_per_weight": 15}, labelled_rows=labelled)
    with pytest.raises(TooFewForNet):
        trained(fed, fed.start(), numbers(common=common))


def test_the_attack_reads_labels_of_very_few_rows():
    assert np.mean([inferred(10, 10, seed)[0] for seed in (1, 2, 3)]) > 0.95
