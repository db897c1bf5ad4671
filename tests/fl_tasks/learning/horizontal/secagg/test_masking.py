"""Fixed point modulo 2^64 and masks that cancel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tombolo.fl_tasks.crypto.errors import OutOfRange
from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.learning.horizontal.secagg.keys import (
    ForeignKey,
    ForeignShare,
    OwnKeys,
    PublicKeys,
    fits,
    mask_seed,
    open_shares,
    seal_shares,
    seed_digest,
)
from tombolo.fl_tasks.learning.horizontal.secagg.masking import (
    FRACTION_BITS,
    add_mask,
    from_words,
    integer_words,
    pair_sign,
    to_words,
    words_integers,
)

VALUES = arrays(np.float64, (4, 5), elements=st.floats(-1e6, 1e6))


def keys(number: int) -> OwnKeys:
    return OwnKeys.draw(Prf(bytes([number] * 32)))


@given(VALUES)
def test_a_sum_of_words_is_the_words_of_the_sum(values):
    words = [to_words(row, 4) for row in values]
    assert np.allclose(from_words(np.sum(words, axis=0, dtype=np.uint64)), values.sum(axis=0), rtol=0, atol=4 * 2.0**-FRACTION_BITS)


@given(arrays(np.int64, (4, 5), elements=st.integers(-(2**61) + 1, 2**61 - 1)))
def test_a_sum_of_integers_is_exact(values):
    words = [integer_words(row, 4) for row in values]
    assert words_integers(np.sum(words, axis=0, dtype=np.uint64)).tolist() == values.sum(axis=0).tolist()


@pytest.mark.parametrize("value", [2**61, -(2**61), 2**63 - 1, -(2**63)])
def test_an_integer_that_could_wrap_around_is_refused(value):
    with pytest.raises(OutOfRange):
        integer_words(np.array([0, value]), 4)


@pytest.mark.parametrize("value", [np.nan, np.inf, 2.0**39 / 4, -(2.0**40)])
def test_what_could_wrap_around_is_refused(value):
    with pytest.raises(OutOfRange):
        to_words([0.0, value], 4)


@given(VALUES)
def test_masks_of_all_clients_cancel(values):
    own = [keys(number) for number in range(4)]
    words = [to_words(row, 4) for row in values]
    total = np.zeros(5, dtype=np.uint64)
    for u in range(4):
        masked = words[u].copy()
        add_mask(masked, own[u].seed)
        for v in range(4):
            if u != v:
                add_mask(masked, mask_seed(own[u].mask, own[v].public().mask, b"sum", "v"), pair_sign(u, v))
        assert not np.array_equal(masked, words[u])
        total += masked
    for one in own:
        add_mask(total, one.seed, -1)
    assert np.array_equal(total, np.sum(words, axis=0, dtype=np.uint64))


def test_keys_by_vector():
    """Keys and a mask seed of fixed randomness: another version must give the same."""
    one, other = keys(1), keys(2)
    assert one.public().joined().hex() == VECTOR[0]
    assert mask_seed(one.mask, other.public().mask, b"sum", "v").hex() == VECTOR[1]
    total = np.zeros(2, dtype=np.uint64)
    add_mask(total, one.seed)
    assert total.tolist() == VECTOR[2]


VECTOR = (
    "0627ae51c86cb4e163e2cce48adbdbd9f1b17b41fd5ed5933f93bad62487140d5b8d4f18515b45387441ae08e78f329e"
    "fe76cabb3f571b2825b411bdff45512943a9e1de9ac3f1e864c3d73e9d1c331227ca208205ecfbee6907f4aa321c784b",
    "6e9c39476526bd0d1bb235b3db373b4dcb387c77d772d36bc33fec61451f286f",
    [11232540740775854189, 11855046252623372031],
)


def test_keys_fit_their_owner_and_context():
    one, other = keys(1), keys(2)
    joined = one.public().joined()
    assert PublicKeys.of(joined, "v") == one.public()
    for wrong in (joined[1:], joined[:32] * 2 + joined[64:], bytes(32) + joined[32:]):
        with pytest.raises(ForeignKey, match="party v"):
            PublicKeys.of(wrong, "v")
    assert fits(one.mask, one.public()) and not fits(other.mask, one.public())
    assert seed_digest(one.seed) == one.public().seed_digest
    seed = mask_seed(one.mask, other.public().mask, b"sum 1", "v")
    assert seed == mask_seed(other.mask, one.public().mask, b"sum 1", "u")
    assert seed != mask_seed(one.mask, other.public().mask, b"sum 2", "v")
    for weak in (bytes(32), b"short"):
        with pytest.raises(ForeignKey) as caught:
            mask_seed(one.mask, weak, b"sum", "v")
        assert caught.value.party == "v"


def test_sealed_shares_open_at_their_recipient_only():
    one, other, third = keys(1), keys(2), keys(3)
    box = seal_shares(one.seal, other.public().seal, b"shares", b"one to other", "v")
    assert open_shares(other.seal, one.public().seal, box, b"one to other", "u") == b"shares"
    for key, context, data in ((third, b"one to other", box), (other, b"other to one", box), (other, b"one to other", box[:-1])):
        with pytest.raises(ForeignShare):
            open_shares(key.seal, one.public().seal, data, context, "u")
