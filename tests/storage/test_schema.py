"""Contracts: column kinds, their Arrow types, disclosures and the leakage table."""

from __future__ import annotations

import io

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.storage.meters import METRIC, MODEL, PROGRESS, ROWS, SIZE
from tombolo.storage.schema import (
    BlindedPoint,
    Column,
    Disclosed,
    KeyedToken,
    Message,
    MessageSet,
    OprfTag,
    Pad64,
    PaddedModN,
    Paillier,
    ProtectedType,
    Public,
    Sealed,
    admit,
    assemble,
)

KINDS = [Paillier("arbiter"), Pad64(), Sealed(), Public("float64", "why"), Disclosed("bool", "why", "once", PROGRESS)]


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
        Message("open", "guest", "host", {"bit": Disclosed("bool", "stop", "one bit", PROGRESS)}, learns="when to stop", step="1"),
        Message("shut", "host", "arbiter", {"c": Paillier("arbiter"), "d": Pad64(ROWS)}, learns="sums", step="2"),
        Message("dark", "host", "guest", {"c": Paillier("arbiter")}, learns="nothing"),
    )
    assert contract.disclosures() == {"open.bit": "stop"}
    table = contract.leakage_table()
    assert "when to stop" in table
    assert "| 2 | shut | host | arbiter | c: paillier, d: one-time-pad-mod-2^64 | sums | - | rows:" in table
    assert "| nothing | - | - |" in table and f"| - | {PROGRESS.name}: {PROGRESS.adds_up} |" in table


def test_what_is_disclosed_has_a_meter():
    with pytest.raises(ValueError, match="meter"):
        Column("disclosed", base="float64", open=True)
    with pytest.raises(TypeError, match="meter"):
        Disclosed("float64", "why", "once")
    assert Column("public", base="float64", open=True).meter is None
    padded = [Pad64(ROWS), PaddedModN("guest", ROWS), Paillier("guest", ROWS), BlindedPoint(ROWS), OprfTag(ROWS), KeyedToken(ROWS)]
    assert {column.meter for column in padded} == {ROWS}


@pytest.mark.parametrize(
    ("column", "bits"),
    [
        (Disclosed("bool", "why", "once", PROGRESS), 1),
        (Disclosed("float64", "why", "once", METRIC), 13),
        (Disclosed("float64", "why", "once", PROGRESS), 53),
        (Disclosed("int64", "why", "once", SIZE), 53),
        (Disclosed("int64", "why", "once", SIZE, most=2), 2),
        (Disclosed("int64", "why", "once", SIZE, least=-3, most=3), 3),
        (Disclosed("int64", "why", "once", SIZE, most=1000), 10),
        (Disclosed("string", "why", "once", MODEL, longest=5), 40),
        (Disclosed("binary", "why", "once", ROWS, longest=3), 24),
        (Pad64(ROWS), 53),
        (BlindedPoint(ROWS), 1),
        (OprfTag(ROWS), 1),
        (KeyedToken(ROWS), 1),
    ],
)
def test_the_bits_of_one_value(column: Column, bits: float):
    assert column.bits == bits
