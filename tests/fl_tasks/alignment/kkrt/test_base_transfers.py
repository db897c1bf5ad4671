"""Base transfers: the chosen keys and no others, and points that say nothing."""

from __future__ import annotations

import numpy as np
import pytest

from tombolo.fl_tasks.alignment.kkrt import base_transfers
from tombolo.fl_tasks.alignment.kkrt.base_transfers import TRANSFERS, Chooser, offer
from tombolo.fl_tasks.crypto import ristretto
from tombolo.fl_tasks.crypto.errors import InvalidPoint
from tombolo.fl_tasks.crypto.prf import Prf

STREAM = Prf(b"b" * 32).stream
SALT = bytes(range(32))
SCALAR = ristretto.random_scalar(STREAM("offer"))


def test_the_chooser_gets_one_key_of_each_pair():
    chooser = Chooser(STREAM("chooser"), SALT)
    answer, zeros, ones = offer(SCALAR, *chooser.points, SALT)
    bits = np.unpackbits(np.frombuffer(chooser.choices, np.uint8), bitorder="little")
    assert 150 < bits.sum() < 362  # ten standard deviations
    keys = chooser.keys(answer)
    assert keys == [(zeros, ones)[bit][at] for at, bit in enumerate(bits)]
    assert len({*zeros, *ones}) == 2 * TRANSFERS
    assert not set(keys) & {(ones, zeros)[bit][at] for at, bit in enumerate(bits)}


def test_all_points_are_valid_and_differ():
    chooser = Chooser(STREAM("chooser"), SALT)
    points = [*chooser.points[0], *chooser.points[1]]
    ristretto.validate(b"".join(points))
    assert len(set(points)) == 2 * TRANSFERS


def test_another_run_s_salt_gives_other_keys():
    chooser = Chooser(STREAM("chooser"), SALT)
    answer, zeros, _ = offer(SCALAR, *chooser.points, SALT)
    again, others, _ = offer(SCALAR, *chooser.points, bytes(32))
    assert answer == again
    assert not set(zeros) & set(others)


def test_a_pair_with_a_known_key_is_refused():
    """Were a base the identity, the chooser would know its key and, with the other point as it should be, both."""
    chooser = Chooser(STREAM("chooser"), SALT)
    zeros, ones = chooser.points
    identity = ristretto.divide(ones[0], ones[0])
    zeros[0] = ristretto.divide(identity, base_transfers._hash(SALT, 0, 0, ones[0]))
    with pytest.raises(InvalidPoint):
        offer(SCALAR, zeros, ones, SALT)
