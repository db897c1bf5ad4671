"""Tables as bytes: written as Arrow streams, and read from a peer without trust in what a stream says about itself.

A stream has one schema and one record batch, without compression, dictionaries, nesting or metadata. So the values need no more
memory than the bytes that came, and all this is known before anything is decoded.
"""

from __future__ import annotations

import pyarrow as pa
from flatbuffers import encode, packer
from flatbuffers.number_types import Int64Flags
from flatbuffers.table import Table as Fields

from tombolo.storage.errors import CodedError
from tombolo.storage.schema import ForeignSchema, Message, admit, admit_schema

_LARGEST_DESCRIPTION = 1 << 16
"""The most bytes of the metadata of a schema or of a record batch."""
_HEADER, _CUSTOM = 2, 4  # the numbers of fields in Arrow's Message.fbs
_LENGTH, _COMPRESSION, _VARIADIC = 0, 3, 4  # in its table RecordBatch


def pack_table(table: pa.Table) -> memoryview:
    """A table as an Arrow stream with one record batch, or none if it has no rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return memoryview(sink.getvalue()).cast("B")


def unpack_table(message: Message, data: bytes, rows: int) -> pa.Table:
    """Decode an Arrow stream from a verified sender that has signed the number of rows.

    Raises ForeignSchema, TooManyRows or ForeignNumber.
    """
    try:
        source = pa.BufferReader(data)
        table = _decoded(message, pa.ipc.MessageReader.open_stream(source), rows)
        if source.tell() != len(data):
            raise ForeignSchema("The payload goes on after its table.")
        table.validate(full=True)
    except CodedError:
        raise
    except Exception as error:  # pyarrow raises many kinds of errors on malformed input; all mean the same here
        raise ForeignSchema(f"The payload is not a readable Arrow table ({type(error).__name__}).") from None
    return admit(message, table, rows)


def _decoded(message: Message, reader: pa.ipc.MessageReader, rows: int) -> pa.Table:
    first = reader.read_next_message()
    if first.type != "schema" or first.metadata.size > _LARGEST_DESCRIPTION:
        raise ForeignSchema("The payload does not begin with a schema.")
    schema = pa.ipc.read_schema(first)
    admit_schema(message, schema)
    batches = []
    if rows:
        second = reader.read_next_message()
        _require_plain(second, rows)
        batches.append(pa.ipc.read_record_batch(second, schema))
    try:
        reader.read_next_message()
    except StopIteration:
        return pa.Table.from_batches(batches, schema)
    raise ForeignSchema("The payload has more than one record batch.")


def _require_plain(message: pa.Message, rows: int) -> None:
    """Raise ForeignSchema unless a message is a record batch of ``rows`` rows that is not compressed."""
    if message.type != "record batch" or message.metadata.size > _LARGEST_DESCRIPTION:
        raise ForeignSchema("The payload has something else than a record batch.")
    data = message.metadata.to_pybytes()
    outer = Fields(data, encode.Get(packer.uoffset, data, 0))
    batch = Fields(data, outer.Indirect(outer.Pos + _at(outer, _HEADER)))
    if _at(outer, _CUSTOM) or _at(batch, _COMPRESSION) or _at(batch, _VARIADIC):
        raise ForeignSchema("The payload is compressed, or has metadata.")
    length = batch.Get(Int64Flags, batch.Pos + _at(batch, _LENGTH)) if _at(batch, _LENGTH) else 0
    if length != rows:
        raise ForeignSchema(f"The payload has {length} rows; {rows} are signed.")


def _at(fields: Fields, number: int) -> int:
    """Where a field is; 0 if it is absent."""
    return int(fields.Offset(4 + 2 * number))
