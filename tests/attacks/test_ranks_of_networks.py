"""Networks, transfer learning and trees give as many independent numbers as their engines declare.

The numbers are those that the role programs really received. Every equation is checked against them before its rank counts.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from tests.attacks.equations import declared, one, rank
from tests.fl_tasks.protocols.secureboost import parties as trees
from tests.fl_tasks.protocols.transfer import clinics
from tests.fl_tasks.protocols.vertical_mlp import parties as networks
from tombolo.fl_tasks.learning.nets.split_network import GuestNet
from tombolo.fl_tasks.protocols.secureboost.guest import Remote
from tombolo.fl_tasks.protocols.transfer.encrypted import BITS, Masked
from tombolo.fl_tasks.protocols.transfer.net import PartyNet
from tombolo.fl_tasks.protocols.transfer.objective import SourceRows
from tombolo.fl_tasks.protocols.transfer.protocol import TransferTerms
from tombolo.fl_tasks.protocols.vertical_mlp.grid import WEIGHT_BITS
from tombolo.fl_tasks.runtime.session import Session

STEP = 0.5


@pytest.mark.parametrize(
    ("engine", "hosts", "rounds", "batches"), [("paillier", 1, 2, 1), ("dealer", 1, 4, 1), ("dealer", 2, 2, 1), ("dealer", 1, 2, 2)]
)
def test_networks(tmp_path, monkeypatch, engine: str, hosts: int, rounds: int, batches: int) -> None:
    """About labels: for a recipient who knows W and the layers of the guest, every round gives new equations of every weight."""
    rows, columns = 125 * batches, 3 * (hosts + 1)
    module = import_module(f"tombolo.fl_tasks.protocols.vertical_mlp.{'encrypted' if engine == 'paillier' else 'dealt'}")
    layers = {name: getattr(module, name) for name in dir(module) if name.endswith(("Host", "Guest")) and name[0] in "ED"}
    gradients: dict[str, list[tuple]] = {}
    backwards: list[tuple] = []
    shares: list[dict[str, np.ndarray]] = []
    host_layer = next(layer for name, layer in layers.items() if name.endswith("Host"))
    guest_layer = next(layer for name, layer in layers.items() if name.endswith("Guest"))
    real, real_back, real_move = host_layer.gradient, GuestNet.backward, guest_layer.move

    def gradient(self, x, bends, batch):
        held = self.share.w.copy()
        found = real(self, x, bends, batch)
        gradients.setdefault(self._session.me, []).append((x, bends, held, found))
        return found

    def backward(self, w, x, sums, y, outcome):
        found = real_back(self, w, x, sums, y, outcome)
        backwards.append((found[2], *(real_back(self, w, x, sums, np.full(len(y), at), outcome)[2] for at in (0.0, 1.0)), y))
        return found

    def move(self, delta):
        shares.append({party: share.w.copy() for party, share in self.shares.items()})
        real_move(self, delta)

    monkeypatch.setattr(host_layer, "gradient", gradient)
    monkeypatch.setattr(GuestNet, "backward", backward)
    monkeypatch.setattr(guest_layer, "move", move)
    x, y = networks.sample(rows, columns)
    given = {"batch_rows": rows // batches} if batches > 1 else {}
    fed = networks.layout(tmp_path, hosts=hosts, engine=engine, step=STEP, **given)
    dealt = networks.blocks(fed, x, y)
    networks.train(fed, dealt, module, run=fed.start(rounds=rounds))
    weights: list[list[np.ndarray]] = [[] for _ in range(batches)]
    for party, received in gradients.items():
        assert len(received) == len(backwards) == rounds * batches
        for at, (own, bends, held, sums) in enumerate(received):
            delta, without, ones, labels = backwards[at]
            w = np.asarray(
                (held + shares[at][party]) / 2.0**WEIGHT_BITS, np.float64
            )  # integers: their noise is too large for floats
            inputs, scale = np.column_stack([own, np.ones(len(own))]), STEP / len(own)
            known = np.einsum("ij,ik->jk", inputs, bends * (without @ w.T)) * scale
            about = np.einsum("ij,ik->jki", inputs, bends * ((ones - without) @ w.T)).reshape(-1, len(own)) * scale
            assert np.allclose(delta, without + (ones - without) * labels[:, None])  # linear in the labels
            assert np.allclose(sums.ravel(), known.ravel() + about @ labels, rtol=1e-4, atol=1e-6)
            weights[at % batches].append(about)
    found = declared(fed, {party: own.x.shape[1] for party, own in dealt.items()}, rows, rounds, **given)
    told = one(found, "labels", "clinic")
    assert told.numbers == min(rounds * hosts * 4 * 3, rows // batches)
    assert told.rows == rows // batches
    for batch in weights:
        assert told.numbers == rank(batch)


def test_transfer(tmp_path, monkeypatch) -> None:
    """For a recipient who knows Phi: as many equations about labels, and about a column of the target, as there are weights."""
    rounds, sums, points = 3, {party: [] for party in clinics.ROLES}, {party: [] for party in clinics.ROLES}
    receive, checkpoint = Masked.receive, Session.checkpoint

    def received(self):
        values = receive(self)
        sums[self._session.me].append(np.array([value / 2.0 ** (3 * BITS) for value in values]))
        return values

    def kept(self, state):
        points[self.me].append(state["w"])
        return checkpoint(self, state)

    monkeypatch.setattr(Masked, "receive", received)
    monkeypatch.setattr(Session, "checkpoint", kept)
    rows = clinics.numbers()
    fed = clinics.layout(tmp_path, alignment_weight=0.1)
    clinics.trained(fed, fed.start(rounds=rounds), rows)
    terms = fed.context("hospital").terms.task.section(TransferTerms)
    a, b = (PartyNet.of(terms, rows[party].x.shape[1]) for party in ("hospital", "practice"))
    common = rows["hospital"].common
    source = SourceRows.of(rows["hospital"].x, rows["hospital"].y, common, common, True)
    inputs, v, y = rows["practice"].x[:common], source.v[:common], source.y[:common]
    labels, column = [], []
    for number in range(1, rounds):  # the states before these rounds are known
        w_a, w_b = points["hospital"][number - 1], points["practice"][number - 1]
        u_a, u_b = a.features(w_a, source.x), b.features(w_b, inputs)
        phi = source.lead @ u_a
        jacobian = b.jacobian(w_b, inputs).reshape(common, b.width, -1)
        about = -(v[:, None] / 2 * np.einsum("iwp,w->ip", jacobian, phi)).T
        rest = np.einsum("iwp,iw->p", jacobian, np.outer(v * (u_b @ phi) / 4, phi) - 0.2 * u_a[:common])
        assert np.allclose(sums["practice"][number], about @ y + rest, rtol=1e-3, atol=1e-3)
        labels.append(about)
        # the source's sums are functions of u_b; a column of the target moves them by these weights
        own = a.jacobian(w_a, source.x).reshape(len(source.x), a.width, -1)
        lead = np.einsum("i,iwp->wp", source.lead, own)

        def computed(at: np.ndarray, phi=phi, lead=lead, own=own) -> np.ndarray:
            bend = v * (-y / 2 + at @ phi / 4)
            return (bend @ at) @ lead - 0.2 * np.einsum("iw,iwp->p", at, own[:common])

        assert np.allclose(sums["hospital"][number][:-1], computed(u_b), rtol=1e-3, atol=1e-3)
        step = 1e-5
        shifted = inputs.copy()
        shifted[:, 0] += step
        moved = (b.features(w_b, shifted) - u_b) / step
        bend = v * (-y / 2 + u_b @ phi / 4)
        by_row = (v * (moved @ phi) / 4)[:, None] * u_b + bend[:, None] * moved
        weights = by_row @ lead - 0.2 * np.einsum("iw,iwp->ip", moved, own[:common])
        assert np.allclose((computed(u_b + step * moved) - computed(u_b)) / step, weights.sum(axis=0), rtol=1e-2, atol=1e-3)
        column.append(weights.T)
    shape = {"hospital": source.x.shape[1], "practice": inputs.shape[1]}
    found = declared(fed, shape, common, rounds - 1)
    assert one(found, "labels", "hospital").numbers == rank(labels) == (rounds - 1) * b.net.count
    assert one(found, "columns", "practice").numbers == rank(column) == (rounds - 1) * a.net.count


@pytest.mark.parametrize(("hosts", "rounds", "missing", "alone"), [(1, 2, 0.0, False), (2, 2, 0.2, False), (1, 3, 0.0, True)])
def test_trees(tmp_path, monkeypatch, hosts: int, rounds: int, missing: float, alone: bool) -> None:
    """Sums of g and h per bin: two equations per node and bin, less one bin, because the sum over all bins is known."""
    nodes_seen: dict[str, list[tuple]] = {}
    real = Remote.histograms

    def histograms(self, nodes):
        found = real(self, nodes)
        for node, sums in zip(nodes, found, strict=True):
            own = self._derivatives[node.output]
            nodes_seen.setdefault(self._party, []).append((node.rows[node.used], own.g, own.h, sums))
        return found

    monkeypatch.setattr(Remote, "histograms", histograms)
    codes, y = trees.sample(400, 3 * (hosts + 1), missing)
    fed = trees.layout(tmp_path, hosts=hosts, depth=2, bins=7, boosting={"first_tree_guest_only": alone})
    dealt = trees.blocks(fed, codes, y)
    trees.train(fed, dealt, run=fed.start(rounds=rounds))
    found = declared(fed, {party: own.codes.shape[1] for party, own in dealt.items()}, 400, rounds)
    for party, seen in nodes_seen.items():
        weights = []
        for rows, g, h, sums in seen:
            vectors = np.zeros((2, 400))
            vectors[0, rows], vectors[1, rows] = g[rows], h[rows]
            weights.append(vectors)
            by_bin = [[np.bincount(c, vector, sums.shape[1]) for vector in vectors] for c in dealt[party].codes.T]
            expected = sorted(tuple(np.rint(np.array(own).T).astype(int).ravel()) for own in by_bin)
            assert sorted(tuple(own.ravel()) for own in sums) == expected  # the order of columns is secret
        told = one(found, "columns", party)
        # a later tree that asks for rows of one leaf of an earlier tree finds their weights constant, and learns nothing new
        assert 2 * (len(seen) - 1) <= rank(weights) <= 2 * len(seen)
        assert rank(weights) * (6 + bool(missing)) <= told.numbers == 2 * 7 * 2 * (rounds - alone)
        assert len(seen) > rounds - alone  # where a node below a root has no good split, its sums are not asked for
