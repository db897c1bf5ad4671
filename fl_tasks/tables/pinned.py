"""Tables in a party's private area, as families of compressed chunks. Encoded rows are one column of vectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.fl_tasks.models.part import Encodes
from tombolo.fl_tasks.runtime.state import Item, RunState

ENCODED = "__encoded"
_CHUNK_ROWS = 200_000
_ZSTD = pa.ipc.IpcWriteOptions(compression="zstd")


def pin(state: RunState, family: Item[bytes], table: pa.Table, encoder: Encodes | None = None) -> None:
    """Keep a table, or its rows encoded by ``encoder``, chunk by chunk. A chunk that is already kept stays as it is."""
    for index, start in enumerate(range(0, max(table.num_rows, 1), _CHUNK_ROWS)):
        rows = table.slice(start, _CHUNK_ROWS)
        rows = rows if encoder is None else pa.table({ENCODED: encoded(encoder, rows)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema, options=_ZSTD) as writer:
            writer.write_table(rows.combine_chunks())
        state.keep(family.of(index), sink.getvalue().to_pybytes())


def chunks(state: RunState, family: Item[bytes]) -> Iterator[pa.Table]:
    """The chunks that :func:`pin` kept in a family; none if it kept nothing."""
    for item in state.all(family):
        yield pa.ipc.open_stream(state[item]).read_all()


def unpin(state: RunState, family: Item[bytes]) -> None:
    """Delete what was kept in a family."""
    for item in state.all(family):
        state.delete(item)


def encoded(encoder: Encodes, table: pa.Table) -> pa.Array:
    """Encoded rows as an array of vectors. Raises the coded errors of the encoder."""
    x = encoder.transform(table)
    return pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])


def matrix(table: pa.Table) -> npt.NDArray[Any]:
    """The encoded rows of a table, shape (rows, columns)."""
    column = table.column(ENCODED)
    width, dtype = column.type.list_size, column.type.value_type.to_pandas_dtype()
    return np.concatenate(
        [np.zeros((0, width), dtype), *(chunk.flatten().to_numpy().reshape(-1, width) for chunk in column.chunks)]
    )
