"""Key streams as rows of bits: the transposition, and the correlation that a transfer's choices give."""

from __future__ import annotations

import numpy as np
import pytest

from tombolo.fl_tasks.alignment.kkrt import extension
from tombolo.fl_tasks.alignment.kkrt.extension import stretch, transposed
from tombolo.fl_tasks.crypto.prf import Prf

STREAM = Prf(b"e" * 32).stream
KEYS = [STREAM("zero", number).bytes(32) for number in range(512)]
OTHERS = [STREAM("one", number).bytes(32) for number in range(512)]


def bits(rows) -> np.ndarray:
    """Rows of words as a matrix of single bits, shape (rows, 512)."""
    return np.unpackbits(np.ascontiguousarray(rows).view(np.uint8), axis=1, bitorder="little")


@pytest.mark.parametrize("words", [1, 3, 64])
def test_transposed_bits(words):
    columns = STREAM("bits", words).uint64(512 * words).reshape(512, words)
    assert np.array_equal(bits(transposed(columns)), bits(columns).T)


@pytest.mark.parametrize("count", [0, 1, 64, 5000])
def test_every_column_is_its_key_s_stream(count):
    found = bits(stretch(KEYS, 7, count))
    assert found.shape == (count, 512)
    for number in (0, 63, 64, 511):
        stream = np.frombuffer(Prf(KEYS[number]).stream("rows", 7).bytes(-(-count // 64) * 8), np.uint8)
        assert np.array_equal(found[:, number], np.unpackbits(stream, bitorder="little")[:count])


def test_slabs_do_not_show(monkeypatch):
    whole = stretch(KEYS, 0, 3000)
    monkeypatch.setattr(extension, "_SLAB", 5)
    assert np.array_equal(stretch(KEYS, 0, 3000), whole)


def test_parts_differ():
    assert not np.array_equal(stretch(KEYS, 0, 64), stretch(KEYS, 1, 64))


def test_chosen_keys_cancel_what_the_choices_do_not_select():
    choices = np.frombuffer(STREAM("choices").bytes(64), "<u8")
    chosen = [OTHERS[at] if bit else KEYS[at] for at, bit in enumerate(bits(choices.reshape(1, 8))[0])]
    zero, one = stretch(KEYS, 0, 100), stretch(OTHERS, 0, 100)
    code = STREAM("code").uint64(800).reshape(100, 8)
    matrix = zero ^ one ^ code
    assert np.array_equal(stretch(chosen, 0, 100) ^ (matrix & choices), zero ^ (code & choices))
