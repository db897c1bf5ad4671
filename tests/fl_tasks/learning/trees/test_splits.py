"""Split finding against a plain scan, candidate by candidate."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tombolo.fl_tasks.learning.trees.splits import Rules, best_splits

UNITS = (2.0**-4, 2.0**-3)


def scan(sums, total, rules):
    """(column, cut, missing_left, gain) by the book: first strictly better candidate wins."""

    def score(g, h):
        return np.float32(g * g / (h + rules.penalty)) if h > 0 else np.float32(0)

    def real(pair):
        return pair[0] * UNITS[0], pair[1] * UNITS[1]

    best, found = np.float32(0), None
    for column, bins in enumerate(sums):
        last = len(bins) - 1
        ways = [(cut, False) for cut in range(1, last + 1)]
        ways += [(cut, True) for cut in range(last - 1, -1, -1)] if bins[0].any() else []
        for cut, missing_left in ways:
            left = bins[1 : cut + 1].sum(axis=0) + (bins[0] if missing_left else 0)
            (lg, lh), (rg, rh), (g, h) = real(left), real(np.array(total) - left), real(total)
            gain = np.float32(np.float32(score(lg, lh) + score(rg, rh)) - score(g, h))
            if lh >= rules.least and rh >= rules.least and gain > best:
                best, found = gain, (column, cut, missing_left, gain)
    return found if found and best > 1e-6 and best >= rules.gamma else None


cells = st.lists(st.tuples(st.integers(-200, 200), st.integers(0, 40)), min_size=5, max_size=5)


@given(st.lists(cells, min_size=1, max_size=4), st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 3.0]), st.booleans())
def test_best_split_is_the_scans(columns, penalty, least, missing):
    sums = np.array(columns, dtype=np.int64)
    sums[:, 0] *= missing
    sums[:, -1] += sums[0].sum(axis=0) - sums.sum(axis=1)  # every column adds up to the node
    sums[..., 1] = np.abs(sums[..., 1])
    sums = sums[np.all(sums[..., 1].sum(axis=1, keepdims=True) == sums[0, :, 1].sum(), axis=1)]
    total = tuple(int(one) for one in sums[0].sum(axis=0))
    rules = Rules(penalty, 0.0, least)
    found, expected = best_splits(sums, total, UNITS, rules), scan(sums, total, rules)
    if expected is None:
        assert found == []
        return
    first = found[0]
    assert (first.column, first.cut, first.missing_left, np.float32(first.gain)) == expected
    assert all(other.gain == first.gain and other.column > first.column for other in found[1:])


def test_all_present_against_missing_is_a_candidate():
    sums = np.array([[[50, 8], [-25, 4], [-25, 4]]])
    (split,) = best_splits(sums, (0, 16), UNITS, Rules(1.0, 0.0, 0.5))
    assert (split.cut, split.missing_left, split.left) == (2, False, (-50, 8))


def test_gamma_is_a_threshold():
    sums = np.array([[[0, 0], [-25, 4], [25, 4]]])
    gain = best_splits(sums, (0, 8), UNITS, Rules(1.0, 0.0, 0.1))[0].gain
    assert best_splits(sums, (0, 8), UNITS, Rules(1.0, gain, 0.1))
    assert not best_splits(sums, (0, 8), UNITS, Rules(1.0, gain * 1.001, 0.1))
    assert not best_splits(sums, (0, 8), UNITS, Rules(1.0, 0.0, 1.0))
