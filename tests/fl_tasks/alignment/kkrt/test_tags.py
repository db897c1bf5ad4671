"""Tags: how long they are, and their one form on the wire."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.fl_tasks.alignment.kkrt.tags import ascend, ascending, tag_bytes, tags
from tombolo.fl_tasks.crypto.prf import Prf

SALT = bytes(range(32))


@pytest.mark.parametrize(
    ("left", "right", "width"),
    [(0, 0, 11), (1, 1, 11), (10**6, 10**6, 11), (10**7, 10**7, 12), (10**3, 10**9, 11), (10**9, 10**9, 13)],
)
def test_tag_bytes(left, right, width):
    assert tag_bytes(left, right) == width
    assert 3 * left * right <= 2 ** (8 * width - 40)


def test_a_tag_is_the_hash_of_row_and_number():
    rows = Prf(b"t" * 32).stream("rows").uint64(8 * 70_000).reshape(-1, 8)
    found = tags(rows, np.arange(70_000) + (3 << 32), 11, SALT)
    assert len(np.unique(found, axis=0)) == 70_000
    for at in (0, 65_535, 65_536, 69_999):
        data = rows[at].tobytes() + (at + (3 << 32)).to_bytes(8, "little")
        assert found[at].tobytes() == hashlib.blake2b(data, digest_size=11, salt=SALT[:16], person=b"tombolo oprf tag").digest()


@given(st.lists(st.binary(min_size=11, max_size=11), min_size=1), st.booleans())
def test_order_is_that_of_the_bytes(given, alike):
    listed = [bytes(8) + one[8:] for one in given] if alike else given  # ties in the first eight bytes
    array = np.frombuffer(b"".join(listed), np.uint8).reshape(-1, 11)
    found = array[ascending(array)]
    assert [row.tobytes() for row in found] == sorted(listed)
    assert ascend(found) == (len(set(listed)) == len(listed))


def test_what_is_not_in_order_is_seen():
    array = np.arange(33, dtype=np.uint8).reshape(3, 11)
    assert ascend(array)
    assert ascend(array[:0])
    assert not ascend(array[[0, 0, 1]])
    assert not ascend(array[[1, 0, 2]])
