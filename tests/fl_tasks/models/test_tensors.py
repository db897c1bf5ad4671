"""A part's file: what is written is what is read, by other readers too, and nothing else is taken for one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load, save

from tombolo.fl_tasks.models.tensors import METADATA, from_file, to_file

shapes = st.lists(st.integers(0, 4), min_size=1, max_size=3).map(tuple)
tensors = st.one_of(arrays(np.float64, shapes, elements=st.floats(allow_nan=False)), arrays(np.uint64, shapes))
leaves = st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(-1e9, 1e9), st.text(max_size=5), tensors)
names = st.text("abcdefgh", min_size=1, max_size=5)
documents = st.dictionaries(
    names, st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=9)
)


def same(one, other) -> bool:
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)


@given(documents)
def test_what_is_written_is_what_is_read(document):
    file = to_file(document)
    assert same(document, from_file(file))
    assert file == to_file(from_file(file))


def test_a_tensor_is_named_by_its_path():
    weights = np.arange(6.0).reshape(3, 2).T  # not contiguous
    file = to_file({"layers": [{"weights": weights}], "phi": np.ones(2)})
    assert {name: one.tolist() for name, one in load(file).items()} == {"layers.0.weights": weights.tolist(), "phi": [1.0, 1.0]}


@pytest.mark.parametrize(
    "other",
    [
        b"",
        b"{}",
        to_file({"w": np.ones(3)})[:-1],
        save({"w": np.ones(3)}),
        save({"w": np.ones(3)}, {METADATA: "no JSON"}),
        save({"w": np.ones(3)}, {METADATA: '{"v":{"tensor":"v"}}'}),
        save({"w": np.ones(3)}, {METADATA: '{"v":{"tensor":[]}}'}),
    ],
)
def test_other_bytes_are_refused(other):
    with pytest.raises(ValueError, match="not a file of a model part"):
        from_file(other)
