"""Rows in a party's private area: compressed, in chunks, each under a name of its own; encoded ones as one column of vectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.fl_tasks.models.part import Encodes
from tombolo.storage.private import PrivateArea

ENCODED = "__encoded"
_CHUNK_ROWS = 200_000
_ZSTD = pa.ipc.IpcWriteOptions(compression="zstd")


def pin(area: PrivateArea, name: str, table: pa.Table, encoder: Encodes | None = None) -> None:
    """Keep a table, or what ``encoder`` makes of it, chunk by chunk; what is kept stands."""
    for index, start in enumerate(range(0, max(table.num_rows, 1), _CHUNK_ROWS)):
        rows = table.slice(start, _CHUNK_ROWS)
        rows = rows if encoder is None else pa.table({ENCODED: encoded(encoder, rows)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema, options=_ZSTD) as writer:
            writer.write_table(rows.combine_chunks())
        area.keep(f"{name}-{index:06d}", sink.getvalue().to_pybytes())


def chunks(area: PrivateArea, name: str) -> Iterator[pa.Table]:
    """What :func:`pin` kept under a name, chunk by chunk; nothing where it kept nothing."""
    for key in area.names(f"{name}-"):
        yield pa.ipc.open_stream(area.get(key) or b"").read_all()


def unpin(area: PrivateArea, name: str = "") -> None:
    """Delete what was kept under a name, or all of the area."""
    for key in area.names(f"{name}-" if name else ""):
        area.delete(key)


def encoded(encoder: Encodes, table: pa.Table) -> pa.Array:
    """Encoded rows as an array of vectors. Raises the coded errors of the encoder."""
    x = encoder.transform(table)
    return pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])


def matrix(table: pa.Table) -> npt.NDArray[Any]:
    """The encoded rows of a table, shape (rows, columns)."""
    column = table.column(ENCODED)
    width, dtype = column.type.list_size, column.type.value_type.to_pandas_dtype()
    return np.concatenate([np.zeros((0, width), dtype), *(one.flatten().to_numpy().reshape(-1, width) for one in column.chunks)])
