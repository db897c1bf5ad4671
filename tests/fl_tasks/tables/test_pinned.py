"""Rows that are pinned come back as they were, in whatever number of chunks; what is kept stands."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tombolo.fl_tasks.runtime.state import BYTES, Item, RunState
from tombolo.fl_tasks.tables import pinned
from tombolo.fl_tasks.tables.pinned import ENCODED, chunks, encoded, matrix, pin, unpin
from tombolo.storage.identity import Vault
from tombolo.storage.private import PrivateArea
from tombolo.storage.stores.local import LocalStore

ROWS, OTHERS = (Item(f"{name}-{{chunk:06d}}", BYTES, "Rows.") for name in ("rows", "rows-b"))
TABLE = pa.table(
    {
        "x": [1.5, None, float("nan"), -0.0, 2.0],
        "n": pa.array([1, 2, None, 4, 5], pa.uint8()),
        "kind": pa.array(["a", None, "b", "", "a"]).dictionary_encode(),
    }
)


class Doubles:
    """Encodes one column as itself and its double."""

    def __init__(self, dtype: str) -> None:
        self.names, self.dtype = ("once", "twice"), dtype

    def transform(self, table: pa.Table) -> np.ndarray:
        once = table.column("n").fill_null(0).to_numpy()
        return np.column_stack([once, 2 * once]).astype(self.dtype)

    def to_document(self) -> dict[str, str]:
        return {"dtype": self.dtype}


@pytest.fixture(params=[2, 5, 200_000])
def state(tmp_path, monkeypatch, request):
    monkeypatch.setattr(pinned, "_CHUNK_ROWS", request.param)
    return RunState(PrivateArea(LocalStore(tmp_path), Vault.new(), "trial"), "run-1")


@pytest.mark.parametrize("table", [TABLE, TABLE.slice(1, 3), TABLE.slice(0, 0)], ids=["whole", "slice", "empty"])
def test_tables_come_back_as_they_were(state, table):
    pin(state, ROWS, table)
    found = pa.concat_tables(chunks(state, ROWS))
    assert found.schema == table.schema
    assert str(found.to_pylist()) == str(table.to_pylist())  # NaN is not equal to itself


@pytest.mark.parametrize("dtype", ["float64", "uint8"])
@pytest.mark.parametrize("table", [TABLE, TABLE.slice(0, 0)], ids=["whole", "empty"])
def test_encoded_rows_are_what_the_encoder_makes_of_them(state, table, dtype):
    encoder = Doubles(dtype)
    pin(state, ROWS, table, encoder)
    found, expected = matrix(pa.concat_tables(chunks(state, ROWS))), encoder.transform(table)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)
    assert found.flags.writeable and found.flags.c_contiguous


def test_rows_of_an_encoded_table_can_be_taken_and_filtered():
    table = pa.table({ENCODED: encoded(Doubles("float64"), TABLE)})
    assert matrix(table.take([3, 0])).tolist() == [[4, 8], [1, 2]]
    assert matrix(table.filter(pa.array([False, True, False, True, False]))).tolist() == [[2, 4], [4, 8]]
    assert matrix(table.slice(4)).tolist() == [[5, 10]]


def test_what_is_kept_stands_until_it_is_deleted(state):
    pin(state, ROWS, TABLE)
    pin(state, ROWS, TABLE.slice(0, 1))
    assert sum(one.num_rows for one in chunks(state, ROWS)) == TABLE.num_rows
    pin(state, OTHERS, TABLE)
    unpin(state, OTHERS)
    assert list(chunks(state, OTHERS)) == []
    assert list(chunks(state, ROWS))
