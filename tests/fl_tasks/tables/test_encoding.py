"""Encoding: missing values, levels, scaling, the JSON round trip, and the guards."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tombolo.agreements.tables import TableTerms
from tombolo.agreements.terms import LimitTerms
from tombolo.fl_tasks.tables.encoding import (
    Encoder,
    LeverageTooHigh,
    MissingValues,
    NoColumns,
    NotFinite,
    TooExtreme,
    UnusableColumn,
)

RANDOM = np.random.default_rng(4)
LIMITS = LimitTerms()


def fit(table: pa.Table, spec: dict | None = None, train: np.ndarray | None = None) -> Encoder:
    rows = np.ones(table.num_rows, dtype=bool) if train is None else train
    return Encoder.fit(table, TableTerms.model_validate(spec or {}), rows, LIMITS, "lab")


def column(rows: int = 300) -> np.ndarray:
    return RANDOM.uniform(-1, 1, rows)


def test_numbers_are_standardised_on_training_rows_only():
    x, train = column(), np.arange(300) < 200
    x[250] = 500.0
    encoded = fit(pa.table({"x": x}), train=train).transform(pa.table({"x": x}))
    assert encoded[train].mean() == pytest.approx(0, abs=1e-12)
    assert encoded[train].std() == pytest.approx(1)
    assert encoded[250, 0] == pytest.approx((500 - x[train].mean()) / x[train].std())


def test_levels_are_those_of_training_and_new_ones_are_none_of_them():
    kinds = ["a"] * 100 + ["b"] * 150 + ["c"] * 50
    encoder = fit(pa.table({"kind": kinds}))
    assert encoder.names == ("kind=a", "kind=b", "kind=c")
    unknown, known = encoder.transform(pa.table({"kind": ["z", "a"]}))
    expected = -np.array(encoder.mean) / np.array(encoder.scale)
    assert np.allclose(unknown, expected)
    assert known[0] > 0 > known[1]


@pytest.mark.parametrize(("policy", "value"), [("mean", 2.0), ("median", 1.0), ("zero", 0.0)])
def test_missing_values_by_policy(policy, value):
    x = [1.0] * 60 + [1.5] * 20 + [6.0] * 20
    filled = {"mean": np.mean(x), "median": 1.0, "zero": 0.0}[policy]
    encoder = fit(pa.table({"x": x}), {"missing": policy})
    with_gap, plain = encoder.transform(pa.table({"x": [None, filled]}))
    assert with_gap == pytest.approx(plain)
    assert encoder.columns[0].fill == pytest.approx(filled)
    assert value >= 0


def test_an_indicator_is_a_column_of_its_own():
    x = [None if n % 5 == 0 else float(n % 7) for n in range(200)]
    encoder = fit(pa.table({"x": x}), {"columns": {"x": {"kind": "numeric", "missing": "indicator"}}})
    assert encoder.names == ("x", "x?")


def test_missing_without_a_policy_is_refused_at_once_and_later():
    with pytest.raises(MissingValues, match="Column x: 1 rows"):
        fit(pa.table({"x": [*column(99), None]}))
    encoder = fit(pa.table({"x": column()}))
    with pytest.raises(MissingValues):
        encoder.transform(pa.table({"x": pa.array([None], pa.float64())}))


def test_a_missing_category_without_a_policy_is_refused_at_once_and_later():
    spec = {"columns": {"kind": {"kind": "categorical"}}}
    with pytest.raises(MissingValues, match="Column kind: 1 rows"):
        fit(pa.table({"kind": ["a"] * 20 + ["b"] * 20 + [None]}), spec)
    encoder = fit(pa.table({"kind": ["a"] * 20 + ["b"] * 20}), spec)
    with pytest.raises(MissingValues, match="Column kind: 1 rows"):
        encoder.transform(pa.table({"kind": ["a", None]}))


def test_one_row_that_stands_out_is_refused_unless_clipped():
    x = np.append(column(2999), 40.0)
    with pytest.raises(LeverageTooHigh) as caught:
        fit(pa.table({"x": x}))
    assert "40" not in str(caught.value)
    fit(pa.table({"x": x}), {"columns": {"x": {"kind": "numeric", "clip": 3.0}}})


def test_what_is_left_out_is_told_by_column_and_not_by_level(caplog):
    caplog.set_level("INFO", "tombolo")
    fit(pa.table({"x": column(), "constant": np.ones(300), "kind": ["only level"] * 300, "rare": [f"n{n}" for n in range(300)]}))
    assert "constant, kind, rare" in caplog.text
    assert "only level" not in caplog.text


def test_infinite_values_are_never_accepted():
    for policy in ("reject", "mean", "zero"):
        with pytest.raises(NotFinite) as caught:
            fit(pa.table({"x": [*column(99), float("inf")]}), {"missing": policy})
        assert "lab" in str(caught.value)


def test_constant_and_rare_columns_are_left_out():
    rare = np.zeros(300)
    rare[:5] = 1
    encoder = fit(pa.table({"x": column(), "constant": np.ones(300), "rare": rare}))
    assert encoder.names == ("x",)
    with pytest.raises(NoColumns):
        fit(pa.table({"constant": np.ones(300)}))


def test_clipping_is_in_standard_deviations():
    x = column()
    encoder = fit(pa.table({"x": x}), {"columns": {"x": {"kind": "numeric", "clip": 1.5}}})
    assert np.abs(encoder.transform(pa.table({"x": np.append(x, 1e6)}))).max() == 1.5
    with pytest.raises(TooExtreme):
        fit(pa.table({"x": x})).transform(pa.table({"x": [1e9]}))


def test_a_missing_column_or_a_strange_type_is_named():
    encoder = fit(pa.table({"x": column()}))
    with pytest.raises(UnusableColumn, match="x"):
        encoder.transform(pa.table({"y": [1.0]}))
    with pytest.raises(UnusableColumn, match="when"):
        fit(pa.table({"when": pa.array([1] * 100, pa.timestamp("s"))}))


@given(st.lists(st.sampled_from(["a", "b", None]), min_size=40, max_size=60), st.booleans())
@settings(max_examples=20, deadline=None)
def test_the_json_round_trip_changes_nothing(kinds, indicator):
    rows = len(kinds) * 15  # one occurrence is fifteen rows: below the leverage limit
    table = pa.table({"x": RANDOM.uniform(size=rows), "kind": kinds * 15, "flag": [n % 3 == 0 for n in range(rows)]})
    encoder = fit(table, {"missing": "indicator" if indicator else "level"})
    again = Encoder.from_document(json.loads(json.dumps(encoder.to_document())))
    assert again == encoder
    assert np.array_equal(again.transform(table), encoder.transform(table))


def test_encoded_names_that_would_meet_are_refused():
    gaps = [None if at % 3 == 0 else value for at, value in enumerate(column())]
    with pytest.raises(UnusableColumn, match="share a name; rename"):
        fit(pa.table({"x": gaps, "x?": column()}), {"missing": "indicator"})


@pytest.mark.parametrize("wrong", [["words"] * 3, [[1.0]] * 3], ids=["text", "lists"])
def test_new_rows_of_another_type_are_refused_without_their_values(wrong):
    encoder = fit(pa.table({"x": column()}))
    with pytest.raises(UnusableColumn, match="Column x") as caught:
        encoder.transform(pa.table({"x": wrong}))
    assert "words" not in str(caught.value)
    assert caught.value.__cause__ is None
