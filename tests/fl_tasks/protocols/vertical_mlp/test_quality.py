"""On WDBC, held-out rows are ranked as by the same network trained in one place."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fl_tasks.protocols.vertical_mlp.parties import begun, drawn, layout, train, whole
from tombolo.fl_tasks.learning.metrics import classification
from tombolo.fl_tasks.learning.vertical.rows import VerticalRows
from tombolo.fl_tasks.protocols.vertical_mlp import dealt as on_shares
from tombolo.fl_tasks.protocols.vertical_mlp import encrypted as neural


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "protocol"), [("paillier", neural), ("dealer", on_shares)])
def test_wdbc(tmp_path, engine, protocol):
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    test = np.random.default_rng(5).permutation(len(y)) < len(y) // 4
    x = np.clip((x - x[~test].mean(axis=0)) / x[~test].std(axis=0), -5, 5)
    fed = layout(tmp_path, engine=engine)
    names = {"clinic": np.arange(20), "lab": np.arange(20, 30)}
    dealt = {
        party: VerticalRows(
            x[np.ix_(~test, columns)], y[~test].astype(float) if party == "clinic" else None, tuple(map(str, columns))
        )
        for party, columns in names.items()
    }
    fed.start(rounds=15)
    states = train(fed, dealt, protocol)
    together = whole(fed, begun(fed), dealt)
    together.descend({party: one.x for party, one in dealt.items()}, y[~test], drawn(fed, dealt), 15, 0.5, 0.9)
    held_out = {party: x[np.ix_(test, columns)] for party, columns in names.items()}
    ours, theirs = (classification(y[test], one.outputs(held_out)[:, 0])["auc"] for one in (whole(fed, states, dealt), together))
    assert ours > 0.9
    assert abs(ours - theirs) < 0.002
