"""Every declared message has bounds, and what exceeds one is refused in the sender's name before it is used.

A protocol is tested here by being listed. The artifacts have good signatures and good seals; memory and processor time are limited.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bounds import outcome
from tests.forging import forge, stream
from tests.storage.conftest import Wire
from tombolo.fl_tasks.workflow.messages import every_set
from tombolo.storage.errors import CodedError
from tombolo.storage.exchange import LARGEST_OBJECT
from tombolo.storage.schema import Column, Message, ProtectedType, assemble
from tombolo.storage.wire import pack_table

EXPECTED = 3
"""The rows that the recipient expects of a message without a declared number."""
MESSAGES = {f"{name}.{one.name}": one for name, messages in every_set().items() for one in messages.values()}
SLACK = settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))


def values(declared: Column, rows: int) -> st.SearchStrategy[pa.Array]:
    """Arrays of values that a column may have."""
    low, high = declared.least, declared.most
    one: st.SearchStrategy[Any] = {
        "float64": st.floats(max(low, -1e300), min(high, 1e300)),
        "int64": st.integers(int(max(low, -(2**53) + 1)), int(min(high, 2**53 - 1))),
        "uint64": st.integers(0, 2**64 - 1),
        "bool": st.booleans(),
        "string": st.text(st.characters(codec="ascii"), max_size=min(8, declared.cell)),
        "binary": st.binary(max_size=min(8, declared.cell)),
        "fixed": st.binary(min_size=min(16, declared.width), max_size=min(16, declared.width)),
    }[declared.base]
    kinds = {"float64": pa.float64(), "int64": pa.int64(), "uint64": pa.uint64(), "bool": pa.bool_()}
    kinds |= {"string": pa.string(), "binary": pa.binary(), "fixed": pa.binary(min(16, declared.width))}
    return st.lists(one, min_size=rows, max_size=rows).map(lambda found: pa.array(found, kinds[declared.base]))


@st.composite
def tables(draw: st.DrawFn, message: Message) -> pa.Table:
    """Tables that a message may have."""
    rows = draw(st.integers(1, min(EXPECTED, message.rows or EXPECTED)))
    return assemble(message, {name: one.wrap(draw(values(one, rows))) for name, one in message.columns.items()})


def with_column(table: pa.Table, name: str, storage: pa.Array) -> pa.Table:
    kind: ProtectedType = table.schema.field(name).type
    made = pa.ExtensionArray.from_storage(ProtectedType(storage.type, kind.kind, kind.params), storage)
    return table.set_column(table.column_names.index(name), name, made)


def beyond(message: Message, table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Tables with one value out of its column's bounds."""
    for name, declared in message.columns.items():
        column = table.column(name).combine_chunks()
        storage = (column if isinstance(column, pa.ExtensionArray) else column.chunk(0)).storage
        wrong: dict[str, list[Any]] = {
            "float64": [
                np.nan,
                np.inf,
                -np.inf,
                *(bound for bound in (declared.least - 1, declared.most + 1) if np.isfinite(bound)),
            ],
            "int64": [declared.least - 1, min(declared.most + 1, 2**63 - 1)],
            "string": ["x" * (declared.cell + 1)],
            "binary": [bytes(declared.cell + 1)] if declared.cell < 1 << 20 else [],
        }.get(declared.base, [])
        rest = storage[:-1]
        for value in wrong:
            found = pa.array([int(value) if declared.base == "int64" else value], storage.type)
            yield f"{name}: a value out of bounds", with_column(table, name, pa.concat_arrays([rest, found]))
        yield f"{name}: no value", with_column(table, name, pa.concat_arrays([rest, pa.nulls(1, storage.type)]))
        if declared.base == "fixed":
            wide = pa.array([bytes(declared.width + 1)] * table.num_rows, pa.binary(declared.width + 1))
            yield f"{name}: too wide", with_column(table, name, wide)
        yield (
            f"{name}: another protection",
            table.set_column(
                table.column_names.index(name),
                name,
                pa.ExtensionArray.from_storage(ProtectedType(storage.type, "nothing", {}), storage),
            ),
        )


def lies(message: Message, table: pa.Table) -> Iterator[tuple[str, bytes, int, Mapping[str, Any]]]:
    """What is wrong, the payload, its signed number of rows, and other fields of the header."""
    rows, payload = table.num_rows, bytes(pack_table(table))
    most = message.most_rows(EXPECTED)
    for what, forged in beyond(message, table):
        yield what, bytes(pack_table(forged)), rows, {}
    yield "compressed", stream(table, compression="zstd"), rows, {}
    yield "metadata", stream(table.replace_schema_metadata({"a": "b"})), rows, {}
    yield "two batches", stream(pa.concat_tables([table, table])), 2 * rows, {}
    yield "bytes after the table", payload + bytes(64), rows, {}
    yield "cut off", payload[: len(payload) // 2], rows, {}
    yield "fewer rows than signed", payload, rows + 1, {}
    yield "more rows than signed", bytes(pack_table(pa.concat_tables([table, table]))), rows, {}
    yield "more rows than the message can have", payload, most + 1, {}
    yield "more rows than anybody has", payload, rows, {"rows": 1 << 40}
    yield "a column more", bytes(pack_table(table.append_column("more", [[1] * rows]))), rows, {}
    yield "a column less", bytes(pack_table(table.drop_columns(table.column_names[-1]))), rows, {}
    yield "other kinds in the header", payload, rows, {"schema": [[name, "nothing"] for name in message.columns]}
    yield "tomorrow", payload, rows, {"created": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    yield "a time that is a number", payload, rows, {"created": 5}
    yield "an unknown field", payload, rows, {"more": "x" * 1000}
    if message.rows == 1:
        yield "no row", bytes(pack_table(table.slice(0, 0))), 0, {}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_a_message_is_bounded(message: Message) -> None:
    """What one artifact may take is known from its declaration, its rows and the recipient's expectation."""
    assert message.rows is None or message.rows >= 1
    for name, declared in message.columns.items():
        assert 1 <= declared.cell <= LARGEST_OBJECT, name
        assert declared.base != "int64" or -(2**53) < declared.least < declared.most < 2**53, name


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_what_is_declared_arrives(message: Message) -> None:
    @SLACK
    @given(tables(message))
    def arrives(table: pa.Table) -> None:
        wire = Wire()
        wire.exchange("ann").send(message, "ben", 0, {name: table.column(name).combine_chunks() for name in message.columns})
        receipt = wire.exchange("ben").fetch(message, "ann", 0, EXPECTED)
        assert receipt is not None and receipt.table.equals(table)

    arrives()


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_what_exceeds_a_bound_is_refused(message: Message) -> None:
    @SLACK
    @given(tables(message))
    def refuses(table: pa.Table) -> None:
        for what, payload, rows, fields in lies(message, table):
            wire = Wire()
            forge(wire, message, payload, rows, **fields)
            with pytest.raises(CodedError) as caught:
                wire.exchange("ben").fetch(message, "ann", 0, EXPECTED)
            assert caught.value.party == "ann", what

    assert outcome(refuses) == "accepted"
