"""Several rows in a ciphertext: exact sums, and nothing but them."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tombolo.fl_tasks.crypto.convolution import DIGIT_BITS, GUARD_BITS, Convolution
from tombolo.fl_tasks.crypto.errors import InvalidResidue, NoHeadroom, WrongShape
from tombolo.fl_tasks.crypto.paillier import generate
from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.crypto.vector import decrypt_residues, encrypt

NUMBER_BITS = 32


@pytest.fixture(scope="module")
def form(private):
    return Convolution(private.public, NUMBER_BITS)


def through(private, form, x, d, seed=b"0" * 16):
    """What the key holder sees and what it returns, and the sums."""
    masks = form.masks(x.shape[1], Prf(seed).stream("mask"))
    product = form.product(x, encrypt(private.public, form.pack(d)))
    seen = decrypt_residues(private, product.add_plain(masks))
    digits = form.middle(seen)
    return seen, digits, form.unmask(digits, masks)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 40), bits=st.integers(0, 34), columns=st.integers(1, 3))
def test_sums_are_exact(private, form, seed, rows, bits, columns):
    rng = np.random.default_rng(seed)
    d = rng.integers(-(2**NUMBER_BITS), 2**NUMBER_BITS + 1, rows)
    x = rng.integers(-(2**bits) + 1, 2**bits, (rows, columns))
    exact = [int(one) for one in x.T.astype(object) @ d.astype(object)]
    assert through(private, form, x, d, seed.to_bytes(16))[2] == exact


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_sums_that_fit_are_exact(private, form, sign):
    rows = 1 << 8
    bits = DIGIT_BITS - GUARD_BITS - 1 - NUMBER_BITS - rows.bit_length()
    assert form.fits(rows, bits)
    assert not form.fits(rows, bits + 1)
    d, x = np.full(rows, sign << NUMBER_BITS), np.full((rows, 1), (1 << bits) - 1)
    assert through(private, form, x, d)[2] == [sign * (rows << NUMBER_BITS) * ((1 << bits) - 1)]
    with pytest.raises(NoHeadroom):
        form.product(2 * x, encrypt(private.public, form.pack(d)))


def test_masks_next_to_a_carry_are_passed_over(private, form):
    n, low = int(private.public.n), 1 << DIGIT_BITS * (form.rows - 1)

    class Fixed:
        values = [0, n - 1, (n >> 1) // low * low, (n >> 1) // low * low - 1, n >> 2]

        def integers_below(self, bound, count):
            return [self.values.pop(0)]

    assert form.masks(1, Fixed()) == [n >> 2]


def test_the_answer_depends_on_the_sum_alone(private, form):
    """Residuals with equal sums and different products at other rows: the same digits come back under the same mask."""
    x = np.array([[1], [2], [3], [4]])
    one, other = np.array([4, 0, 0, 0]), np.array([0, 2, 0, 0])
    first, second = through(private, form, x, one), through(private, form, x, other)
    assert first[0] != second[0]
    assert first[1:] == second[1:]
    assert first[2] == [4]


def test_what_the_key_holder_sees_is_uniform(private, form):
    x, d = np.ones((4, 200), dtype=np.int64), np.array([1, -1, 5, 7])
    seen, _, sums = through(private, form, x, d)
    assert sums == [12] * 200
    n = int(private.public.n)
    assert abs(np.mean([value / n for value in seen]) - 0.5) < 0.1
    for digit in range(2 * form.rows - 1):
        shares = [(value >> DIGIT_BITS * digit) % 2**16 / 2**16 for value in seen]
        assert abs(np.mean(shares) - 0.5) < 0.1


def test_what_does_not_fit_is_refused(private, form):
    d = np.ones(9, dtype=np.int64)
    with pytest.raises(WrongShape):
        form.product(np.ones((17, 1), dtype=np.int64), encrypt(private.public, form.pack(d)))
    with pytest.raises(WrongShape):
        form.unmask([1], [1, 2])
    for bad in (-1, 1 << DIGIT_BITS):
        with pytest.raises(InvalidResidue):
            form.unmask([bad], [1])


def test_narrow_tables_are_packed():
    form = Convolution(generate(2048).public, NUMBER_BITS)
    assert form.rows == 8
    assert form.pays(100_000, 5, 25)
    assert not form.pays(100_000, 100, 25)
    assert form.fits(1_000_000, 35)
    assert not form.fits(1 << 20, 35)
