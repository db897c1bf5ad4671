"""Checkpoints: what goes in comes out, the first writer wins, and nothing is unpickled."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.fl_tasks.runtime.arrays import pack, unpack
from tombolo.fl_tasks.runtime.checkpoints import Checkpoints
from tombolo.fl_tasks.runtime.state import RunState
from tombolo.storage.identity import Vault
from tombolo.storage.private import PrivateArea
from tombolo.storage.stores.memory import MemoryStore

numbers = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=8)


plain_values = st.one_of(numbers, st.booleans(), st.text(max_size=9))


@given(st.dictionaries(names, st.lists(numbers, max_size=5)), st.dictionaries(names, plain_values))
def test_round_trip(arrays, plain):
    state = {f"x_{name}": np.array(values) for name, values in arrays.items()}
    state |= {f"p_{name}": value for name, value in plain.items()}
    found = unpack(pack(state))
    assert set(found) == set(state)
    for name, value in state.items():
        assert np.array_equal(found[name], value) if isinstance(value, np.ndarray) else found[name] == value


def test_objects_cannot_get_in_or_out():
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        pack({"x": np.array([{}, None], dtype=object)})
    with pytest.raises(TypeError):
        pack({"x": object()})
    sink = io.BytesIO()
    np.savez(sink, a_x=np.array([{}], dtype=object), json=np.frombuffer(b"{}", dtype=np.uint8))
    with pytest.raises(ValueError, match="allow_pickle"):
        unpack(sink.getvalue())


def test_an_old_process_beside_a_retry_cannot_fork_the_state():
    kept = RunState(PrivateArea(MemoryStore(), Vault.new(), "trial"), "run-1", "train")
    one, other = Checkpoints(kept), Checkpoints(kept)
    assert one.latest() is None
    assert one.put(1, {"w": np.array([1.0])})["w"] == 1.0
    assert other.put(1, {"w": np.array([2.0])})["w"] == 1.0
    assert one.digest() == other.digest()
    later = Checkpoints(kept)
    assert later.latest()["round"] == 1
    assert later.digest() == one.digest()
