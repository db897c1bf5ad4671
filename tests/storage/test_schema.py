"""Contracts: column kinds, their Arrow types, disclosures and the leakage table."""

from __future__ import annotations

import io

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.storage.schema import (
    Column,
    Disclosed,
    Message,
    MessageSet,
    Pad64,
    Paillier,
    ProtectedType,
    Public,
    Sealed,
    admit,
    assemble,
)

KINDS = [Paillier("arbiter"), Pad64(), Sealed(), Public("float64", "why"), Disclosed("bool", "why", "once")]


@pytest.mark.parametrize("column", KINDS, ids=lambda column: column.kind)
def test_a_type_survives_the_wire(column: Column):
    storage = {"fixed": pa.array([b"ab"], pa.binary(2)), "uint64": pa.array([1], pa.uint64()), "binary": pa.array([b"x"])}.get(
        column.base, pa.array([1.0] if column.base == "float64" else [True])
    )
    table = pa.table([column.wrap(storage, key="k1")], names=["c"])
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    found = pa.ipc.open_stream(sink.getvalue()).read_all()
    assert isinstance(found.schema.field("c").type, ProtectedType)
    assert found.schema.field("c").type.params["key"] == "k1"
    assert [other for other in KINDS if other.accepts(found.schema.field("c").type)] == [column]


@given(st.sampled_from(KINDS), st.one_of(st.floats(), st.integers(), st.text(), st.lists(st.floats(), max_size=3)))
def test_plain_values_never_pass_for_protected(column, value):
    message = Message("m", "guest", "host", {"c": column}, learns="-")
    if not column.open:
        with pytest.raises(Exception, match="TMB-SCHEMA-001"):
            assemble(message, {"c": value})


def test_nulls_and_other_names_are_refused():
    message = Message("m", "guest", "host", {"c": Public("int64", "why")}, learns="-", rows=2)
    with pytest.raises(Exception, match="TMB-SCHEMA-002"):
        admit(message, pa.table([Public("int64", "why").wrap(pa.array([1, None]))], names=["c"]))
    with pytest.raises(Exception, match="TMB-SCHEMA-002"):
        admit(message, pa.table([Public("int64", "why").wrap(pa.array([1]))], names=["d"]))


def test_disclosures_and_table_name_everything():
    contract = MessageSet(
        "trial",
        Message("open", "guest", "host", {"bit": Disclosed("bool", "stop", "one bit")}, learns="when to stop", step="1"),
        Message("shut", "host", "arbiter", {"c": Paillier("arbiter")}, learns="sums", step="2"),
    )
    assert contract.disclosures() == {"open.bit": "stop"}
    table = contract.leakage_table()
    assert "when to stop" in table and "| 2 | shut | host | arbiter | c: paillier | sums |" in table
