"""Zero-sum shares: the sum comes out, single shares are uniform, and what does not fit is refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.learning.vertical.shares import ScalarTooLarge, total, zero_sum
from tombolo.storage.schema import Pad64

PARTIES = ("ann", "ben", "cy", "dan")
scalars = st.lists(st.floats(-1e12, 1e12), min_size=3, max_size=3)


@dataclass
class Pairs:
    """The one thing that shares need of a session."""

    me: str
    run: int = 0

    def pair(self, other: str) -> Prf:
        return Prf(Prf(b"pairs of a test " * 2).derive(self.run, *sorted((self.me, other))))


def shares(values: dict[str, list[float]], run: int = 0) -> dict[str, np.ndarray]:
    return {party: zero_sum(Pairs(party, run), list(values), given, "test") for party, given in values.items()}


def sent(share: np.ndarray) -> pa.Table:
    return pa.table({"share": Pad64().wrap(pa.array(share))})


@given(st.dictionaries(st.sampled_from(PARTIES), scalars, min_size=1))
def test_the_sum_comes_out(values):
    found = total({party: sent(share) for party, share in shares(values).items()}, 3)
    expected = [sum(given[at] for given in values.values()) for at in range(3)]
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-9)


def test_a_share_says_nothing_and_depends_on_the_run():
    low = [int(shares({"ann": [0.0], "ben": [0.0]}, run)["ann"][1] >> np.uint64(60)) for run in range(200)]
    assert len(set(low)) == 16
    assert max(low.count(one) for one in set(low)) < 40


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e15])
def test_what_does_not_fit_is_refused(bad):
    with pytest.raises(ScalarTooLarge):
        shares({"ann": [bad], "ben": [0.0]})
    with pytest.raises(ScalarTooLarge) as caught:
        total({"ben": sent(np.zeros(4, dtype=np.uint64))}, 3)
    assert caught.value.party == "ben"
