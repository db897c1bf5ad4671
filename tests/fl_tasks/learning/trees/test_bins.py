"""Bins: quantiles with a least number of rows, missing values, and the same bins again from the stored document."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.agreements.tables import ColumnTerms, TableTerms
from tombolo.agreements.terms import LimitTerms
from tombolo.fl_tasks.learning.trees.bins import Binner
from tombolo.fl_tasks.tables.encoding import MissingValues, NoColumns, UnusableColumn
from tombolo.storage.canonical import canonical, parse

LIMITS = LimitTerms(minimum_bin_rows=20)
LEVEL = TableTerms(missing="level")


def fit(table, spec=LEVEL, limits=LIMITS, bins=32):
    return Binner.fit(table, spec, np.ones(table.num_rows, dtype=bool), limits, bins, "lab")


def test_many_values_are_cut_at_quantiles_and_few_between_all():
    random = np.random.default_rng(0)
    binner = fit(pa.table({"many": random.normal(size=4000), "few": random.integers(0, 3, 4000)}))
    assert binner.sizes.tolist() == [32, 3]
    assert binner.cuts[1] == (0.0, 1.0)
    counts = np.bincount(binner.transform(pa.table({"many": random.normal(size=4000), "few": np.zeros(4000)}))[:, 0])
    assert counts[0] == 0 and counts[1:].min() > 60


@given(st.lists(st.integers(0, 50) | st.none(), min_size=40, max_size=300), st.integers(1, 30), st.integers(2, 40))
def test_every_bin_holds_the_least_number_of_rows(values, least, bins):
    table = pa.table({"x": pa.array(values, pa.float64())})
    try:
        binner = fit(table, limits=LimitTerms(minimum_bin_rows=least), bins=bins)
    except NoColumns:
        return
    codes = binner.transform(table)[:, 0]
    counts = np.bincount(codes, minlength=binner.sizes[0] + 1)
    assert counts[1:].min() >= least or binner.sizes[0] == 1
    assert counts[0] == 0 or counts[0] >= least
    assert binner.sizes[0] <= bins
    assert binner.missing[0] == bool(counts[0])


def test_few_missing_values_go_to_the_median_and_many_to_their_own_bin():
    values = [float(i) for i in range(100)]
    few, many = pa.table({"x": [*values, None, None]}), pa.table({"x": [*values, *[None] * 30]})
    binner = fit(few, bins=4)
    assert binner.missing == (False,)
    assert binner.transform(few)[-1, 0] == binner.transform(pa.table({"x": [49.0]}))[0, 0]
    assert fit(many, bins=4).transform(many)[-30:, 0].tolist() == [0] * 30


def test_values_are_compared_in_single_precision():
    x = np.float64(np.float32(0.1))
    table = pa.table({"x": np.repeat([x, x + 1e-12, 1.0], 30)})
    binner = fit(table)
    assert binner.sizes.tolist() == [2]
    assert binner.transform(table)[:, 0].tolist() == [1] * 60 + [2] * 30


def test_the_stored_document_gives_the_same_bins():
    random = np.random.default_rng(3)
    kinds = random.choice(["a", "b", "c"], 500)
    table = pa.table({"x": np.where(random.random(500) < 0.2, np.nan, random.normal(size=500)), "kind": kinds})
    spec = TableTerms(missing="level", columns={"kind": ColumnTerms(kind="categorical")})
    binner = fit(table, spec)
    assert binner.names == ("x", "kind=a", "kind=b", "kind=c")
    again = Binner.from_document(parse(canonical(binner.to_document())))
    assert again == binner
    assert (again.transform(table) == binner.transform(table)).all()


def test_what_no_binner_wrote_is_refused():
    document = fit(pa.table({"x": np.arange(200.0)})).to_document()
    for change in ({"cuts": [[2.0, 1.0]]}, {"absent": [77]}, {"names": []}):
        with pytest.raises(ValueError):
            Binner.from_document({**document, **change})


def test_missing_values_without_a_policy_and_useless_columns_are_refused():
    with pytest.raises(MissingValues):
        fit(pa.table({"x": [None, *map(float, range(99))]}), TableTerms())
    with pytest.raises(NoColumns):
        fit(pa.table({"x": np.ones(100)}))
    with pytest.raises(UnusableColumn):
        fit(pa.table({"x": np.repeat([1e300, 1.0], 50)}))
