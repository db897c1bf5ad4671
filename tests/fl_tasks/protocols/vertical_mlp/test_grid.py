"""Shares move as W would, noise covers steps, and sums fit their slots at the largest values that are let in."""

from __future__ import annotations

import numpy as np
import pytest

from tests.federation import TEST_BITS
from tombolo.fl_tasks.crypto.packing import pack, unpack
from tombolo.fl_tasks.crypto.paillier import generate
from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.protocols.vertical_mlp.grid import (
    ACTIVATION_BITS,
    GRADIENT_SLOT,
    INPUT_BITS,
    LARGEST_ACTIVATION,
    LARGEST_SLOPES,
    LARGEST_UNITS,
    MOST_STEPS,
    MOVE_SLOT,
    NOISE_BITS,
    SLOPE_BITS,
    SUM_SLOT,
    WEIGHT_BITS,
    Share,
    encoded,
    noise,
)

LARGEST_WEIGHT = MOST_STEPS * LARGEST_ACTIVATION * LARGEST_SLOPES / (1 - 0.999) + 1


def test_both_shares_move_w_by_the_step():
    random, prf, shape = np.random.default_rng(1), Prf(bytes(32)), (5, 3)
    ours, theirs = (Share.initial(prf.stream(who), *shape) for who in ("host", "guest"))
    ours, theirs = (Share.of(one.document(), 0.9) for one in (ours, theirs))
    w, velocity = (ours.w + theirs.w).astype(float) / 2.0**WEIGHT_BITS, np.zeros(shape)
    assert np.abs(w).max() < 2
    for number in range(50):
        step = random.normal(size=shape)
        drawn = noise(prf.stream("noise", number), shape)
        theirs.move(-(encoded(step, ACTIVATION_BITS + SLOPE_BITS) + drawn))
        ours.move(drawn)
        velocity = 0.9 * velocity - step
        w = w + velocity
    assert min(abs(int(one)) for one in ours.w.ravel()) > 2 ** (NOISE_BITS - 8)
    moved = (ours.w + theirs.w).astype(float) / 2.0**WEIGHT_BITS
    assert np.abs(moved - w).max() < 50 * 2 / (1 - 0.9) * 2.0**-WEIGHT_BITS


@pytest.mark.parametrize(
    ("slot", "largest", "bits"),
    [
        (SUM_SLOT, LARGEST_UNITS * LARGEST_ACTIVATION * LARGEST_WEIGHT, ACTIVATION_BITS + WEIGHT_BITS),
        (GRADIENT_SLOT, LARGEST_UNITS * 2.0**10 * LARGEST_SLOPES * LARGEST_WEIGHT, INPUT_BITS + SLOPE_BITS + WEIGHT_BITS),
    ],
)
def test_the_largest_sums_fit_their_slots(slot, largest, bits):
    public = generate(TEST_BITS, TEST_BITS).public
    value = int(largest) << bits
    plain = [value, -value, 0, value]
    assert unpack(pack(plain, slot, public), slot, 4, public) == plain


def test_the_largest_step_and_its_noise_fit_their_slot_and_differ_by_far():
    step = int(LARGEST_ACTIVATION * LARGEST_SLOPES) << (ACTIVATION_BITS + SLOPE_BITS)
    most = 1 << (NOISE_BITS + ACTIVATION_BITS + SLOPE_BITS - WEIGHT_BITS)
    assert most >> 60 > step
    assert step + most < 1 << (MOVE_SLOT - 1)
