"""Canonical ids: one spelling, no collisions, and what is refused."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.agreements.terms import AlignmentTerms
from tombolo.fl_tasks.tables.consent import withheld
from tombolo.fl_tasks.tables.ids import (
    BadId,
    DuplicateIds,
    NoIdColumn,
    canonical_ids,
    composite,
    idcard,
    iso_date,
    phone,
    text,
    unique,
)
from tombolo.fl_tasks.tables.source import Unreadable


def terms(**changes) -> AlignmentTerms:
    return AlignmentTerms.model_validate({"id": [{"column": "id"}], **changes})


@pytest.mark.parametrize(
    ("form", "spellings", "canonical"),
    [
        (text, ["Ada  Lovelace", " ada lovelace ", "ＡＤＡ lovelace", "\ufeffAda\u200b Lovelace"], "ada lovelace"),
        (text, ["STRASSE", "straße"], "strasse"),
        (phone, ["+49 (30) 123-456", "0049 30 123456", "+49.30.123456", "+49 (0)30 123456"], "+4930123456"),
        (idcard, ["1101 0519 491231 002x", "11010519491231002X"], "11010519491231002X"),
        (iso_date, ["1990-01-02", "1990-01-02T00:00:00", "1990-01-02 23:59", "19900102"], "1990-01-02"),
    ],
)
def test_spellings_meet(form, spellings, canonical):
    assert {form(one) for one in spellings} == {canonical}
    assert form(canonical) == canonical


@pytest.mark.parametrize(
    ("form", "bad"), [(phone, "030 123456"), (phone, "+12"), (idcard, "*"), (iso_date, "2.1.1990"), (iso_date, "1990-01-02x")]
)
def test_what_has_no_canonical_form(form, bad):
    with pytest.raises(ValueError):
        form(bad)


@given(st.text() | st.text("ßIİſᾼᾼ\u0301\u0307\u0345\u200dﬁ "))
def test_text_is_idempotent(value):
    assert text(text(value)) == text(value)


@given(st.lists(st.text(), min_size=2, max_size=3), st.lists(st.text(), min_size=2, max_size=3))
def test_composite_keys_do_not_collide(one, other):
    assert (composite(one) == composite(other)) == (one == other)


@pytest.mark.parametrize(
    ("column", "error"),
    [
        (pa.array([1, 2]), NoIdColumn),
        (pa.array(["a", None]), BadId),
        (pa.array(["a", "  "]), BadId),
        (pa.array([1.5, 2.5]), NoIdColumn),
    ],
)
def test_bad_id_columns_are_refused_without_their_values(column, error):
    with pytest.raises(error):
        canonical_ids(pa.table({"id": column}), terms(), ["id"])
    with pytest.raises(NoIdColumn):
        canonical_ids(pa.table({"x": column}), terms(), ["id"])


def test_dates_of_the_source_are_ids_too_and_an_empty_column_has_none():
    dated = pa.table({"id": pa.array(["1990-01-02"]).cast(pa.date32())})
    assert canonical_ids(dated, terms(id=[{"column": "id", "canonical": "date"}]), ["id"]) == ["1990-01-02"]
    assert canonical_ids(pa.table({"id": pa.nulls(0)}), terms(), ["id"]) == []
    with pytest.raises(BadId):
        canonical_ids(pa.table({"id": pa.nulls(2)}), terms(), ["id"])


TWICE = pa.table({"id": ["b", "a", "b"], "x": [1.0, 5.0, 3.0], "n": [1, 2, 3], "when": ["2", "1", "1"]})


def test_duplicates_by_policy():
    ids = TWICE.column("id").to_pylist()
    with pytest.raises(DuplicateIds, match="1 ids"):
        unique(TWICE, ids, terms())
    table, kept = unique(TWICE, ids, terms(duplicates="keep-latest", latest_by="when"))
    assert dict(zip(kept, table.column("x").to_pylist(), strict=True)) == {"b": 1.0, "a": 5.0}
    table, kept = unique(TWICE, ids, terms(duplicates="mean"))
    assert dict(zip(kept, table.column("x").to_pylist(), strict=True)) == {"b": 2.0, "a": 5.0}
    assert table.column("id").to_pylist() == kept == ["b", "a"]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 9)), min_size=1, max_size=20))
def test_keep_latest_keeps_the_latest(rows):
    table = pa.table({"id": [one for one, _ in rows], "when": [at for _, at in rows], "row": list(range(len(rows)))})
    found, kept = unique(table, table.column("id").to_pylist(), terms(duplicates="keep-latest", latest_by="when"))
    expected = {}
    for number, (one, at) in enumerate(rows):
        if one not in expected or at >= rows[expected[one]][1]:
            expected[one] = number
    assert dict(zip(kept, found.column("row").to_pylist(), strict=True)) == expected


def test_a_consent_list_is_canonical_too(tmp_path):
    path = tmp_path / "withheld.txt"
    path.write_text("ADA\n\n bob \n")
    assert withheld(path, terms()) == {"ada", "bob"}
    assert withheld(None, terms()) == frozenset()
    path.write_text("a,1990-01-02\n")
    two = terms(id=[{"column": "name"}, {"column": "born", "canonical": "date"}])
    assert withheld(path, two) == {composite(["a", "1990-01-02"])}
    path.write_text("a\n")
    with pytest.raises(Unreadable, match="line 1"):
        withheld(path, two)


def test_means_of_whole_numbers_beyond_a_float_s_precision():
    table = pa.table({"id": ["a", "a", "b"], "n": [2**53 + 1, 2**53 + 3, 4]})
    found, kept = unique(table, ["a", "a", "b"], terms(duplicates="mean"))
    assert dict(zip(kept, found.column("n").to_pylist(), strict=True)) == {"a": pytest.approx(2**53 + 2), "b": 4}
