"""Histograms of all clients' values: sums of counts, and what quartiles and cuts come from them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.fl_tasks.learning.horizontal.hospitals import HOSPITALS, hospitals, tables
from tests.fl_tasks.learning.horizontal.test_newton import rows
from tombolo.fl_tasks.learning.horizontal import newton, quantiles
from tombolo.fl_tasks.learning.horizontal.columns import ForeignSums, Statistics
from tombolo.fl_tasks.learning.horizontal.quantiles import Distribution, counted, first_edges, packed, quartiles_of
from tombolo.fl_tasks.learning.horizontal.report import page
from tombolo.fl_tasks.learning.horizontal.statistics import statistics_of
from tombolo.fl_tasks.learning.trees.bins import Binner
from tombolo.fl_tasks.tables.encoding import UnusableColumn

VALUES = arrays(np.float32, st.integers(1, 60), elements=st.floats(-100, 100, width=32))


def found(values: np.ndarray) -> Statistics:
    present = np.array([float((~np.isnan(values)).sum())])
    filled = np.where(np.isnan(values), np.nanmean(values), values)
    return Statistics(float(len(values)), present, np.array([np.nanmean(values)]), np.array([filled.std()]))


def edges(tmp_path, values: np.ndarray, **feature: object) -> np.ndarray:
    terms = hospitals(tmp_path, horizontal={"features": {"x": feature}, "quartiles": True}).context("centre").terms
    return first_edges(terms, found(values))[0]


@given(st.lists(VALUES, min_size=2, max_size=4), VALUES)
@settings(max_examples=60, deadline=None)
def test_counts_of_clients_add_up_to_those_of_all(clients, at):
    some = np.unique(at).astype(np.float64)
    summed = sum(counted(some, values.astype(np.float64), "x") for values in clients)
    whole = np.concatenate(clients)
    assert summed.tolist() == counted(some, whole.astype(np.float64), "x").tolist()
    assert summed.sum() == len(whole)
    upto = np.cumsum(summed)[:-1].tolist()
    assert upto == [int((whole <= edge).sum()) for edge in some]


@given(VALUES, st.integers(2, 40), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_cuts_leave_no_bin_too_small(values, bins, least):
    some = np.linspace(-100, 100, 65)
    counts = counted(some, values.astype(np.float64), "x")
    cuts = Distribution(some, counts).cuts(bins, least)
    assert len(cuts) < bins and list(cuts) == sorted(set(cuts)) and set(cuts) <= set(some)
    sizes = np.bincount(np.searchsorted(np.array(cuts), values, side="left"), minlength=len(cuts) + 1)
    assert not cuts or sizes.min() >= least


@given(VALUES, st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_quartiles_are_off_by_no_more_than_they_say(values, least):
    first = np.linspace(-100, 100, 33)
    finer = Distribution(first, counted(first, values.astype(np.float64), "x")).finer(least)
    assert set(np.unique(np.searchsorted(first, values, side="left"))) <= set(range(34))
    made = Distribution(finer, counted(finer, values.astype(np.float64), "x"))
    assert made.counts.sum() == len(values)
    ordered = np.sort(values)
    for share, one in zip((0.25, 0.5, 0.75), made.quartiles(), strict=True):
        exact = float(ordered[int(len(ordered) * share)])  # a difference in single precision would be rounded
        assert one.error is None or abs(exact - one.value) <= one.error * (1 + 1e-6) + 1e-9


def test_a_long_tail_takes_no_cuts_away(tmp_path):
    """Most values lie in one of the first bins, which is cut finely."""
    random = np.random.default_rng(1)
    values = random.lognormal(0.0, 2.5, 20_000)
    some = edges(tmp_path, values)
    first = Distribution(some, counted(some, values, "x"))
    assert first.counts.max() > 0.5 * len(values)
    finer = first.finer(10)
    cuts = Distribution(finer, counted(finer, values, "x")).cuts(32, 20)
    assert len(cuts) == 31
    sizes = np.bincount(np.searchsorted(np.array(cuts), values.astype(np.float32), side="left"))
    assert sizes.max() < 1.5 * len(values) / 32


def test_few_values_are_told_apart(tmp_path):
    values = np.repeat([0.0, 1.0, 2.0, 7.0], [50, 30, 15, 5])
    some = edges(tmp_path, values)
    finer = Distribution(some, counted(some, values, "x")).finer(5)
    cuts = Distribution(finer, counted(finer, values, "x")).cuts(16, 5)
    assert np.searchsorted(cuts, [0.0, 1.0, 2.0, 7.0], side="left").tolist() == [0, 1, 2, 3]


def test_ends_of_a_histogram(tmp_path):
    """The lower end of a public range is inside; values beyond it are said to be; a constant column has no edges."""
    some = edges(tmp_path / "a", np.array([0.0, 3.0]), range=[0, 10])
    assert len(some) == 1025
    made = Distribution(some, counted(some, np.array([0.0, 0.0, 0.0, np.nan]), "x"))
    assert made.counts[1] == 3 and made.quartiles()[1].value == pytest.approx(0.0, abs=0.01)
    beyond = Distribution(some, counted(some, np.full(5, 99.0), "x"))
    assert (beyond.quartiles()[0].value, beyond.quartiles()[0].error) == (10.0, None)
    assert beyond.cuts(8, 1) == ()
    constant = edges(tmp_path / "b", np.full(30, 2.0))
    assert Distribution(constant, np.array([30])).quartiles() == [] and len(constant) == 0
    with pytest.raises(UnusableColumn):
        counted(some, np.array([1e39]), "x")


def test_several_vectors_as_one(tmp_path, monkeypatch):
    fed = hospitals(tmp_path)

    def unpacked(session, values, count, most):
        monkeypatch.setattr(quantiles, "told", lambda session, count, fewer: np.array(values))
        return quantiles.unpacked(session, count, most)

    with fed.context("north").session(fed.start(), newton.MESSAGES, "train", None, None) as session:  # type: ignore[arg-type]
        vectors = [np.array([1.0, 2.0]), np.zeros(0), np.array([3.0])]
        back = unpacked(session, packed(vectors), 3, 2)
        assert [one.tolist() for one in back] == [one.tolist() for one in vectors]
        assert unpacked(session, packed([]), 0, 2) == []
        for values, count, most in (
            ([3.0, 1.0, 1.0, 1.0], 1, 2),
            ([1.5, 1.0], 1, 2),
            ([2.0, 1.0], 1, 2),
            ([-1.0], 1, 2),
            ([], 1, 2),
        ):
            with pytest.raises(Exception, match="TMB-HORIZONTAL-001"):
                unpacked(session, np.array(values), count, most)


@pytest.mark.slow
def test_quartiles_of_all_clients_in_a_regressions_report(tmp_path):
    """Counts, shares, mean, deviation and quartiles on every party's page; the quartiles only where the terms ask for them."""
    fed = hospitals(tmp_path, horizontal={"quartiles": True}, rounds=1)
    run = fed.start()
    client = {"client": lambda session: newton.client(session, rows(session.me)), "aggregator": newton.aggregator}
    fed.roles(run, newton.MESSAGES, "train", client)
    whole = {name: np.concatenate([tables()[party].column(name).to_numpy() for party in HOSPITALS]) for name in ("age", "dose")}
    pages = set()
    for party in fed.parties:
        context = fed.context(party)
        kept = context.state(run, "train")
        pages.add(page(context.terms, statistics_of(kept), quartiles_of(kept), 4))
        for name, values in whole.items():
            ordered = np.sort(values[~np.isnan(values)])
            for share, one in zip((0.25, 0.5, 0.75), quartiles_of(kept)[name], strict=True):
                assert abs(ordered[int(len(ordered) * share)] - one.value) <= one.error < 0.06 * ordered.std()
    assert len(pages) == 1
    text = pages.pop()
    for fact in (
        f"{len(whole['age']):,} rows",
        f"{np.nanmean(whole['age']):.5g}",
        f"{np.nanstd(whole['dose']):.5g}",
        "at least 3 of 4",
    ):
        assert fact in text
    assert f"{np.isnan(whole['age']).mean():.1%}" in text


@pytest.mark.slow
def test_negative_counts_are_refused(tmp_path, monkeypatch):
    """One client's wrong counts show in the sum."""
    fed = hospitals(tmp_path, horizontal={"quartiles": True}, rounds=1)
    run = fed.start()
    contributes = quantiles.contribute_integers
    monkeypatch.setattr(
        quantiles, "contribute_integers", lambda session, counts: contributes(session, counts - 900 * (session.me == "east"))
    )
    client = {"client": lambda session: newton.client(session, rows(session.me)), "aggregator": newton.aggregator}
    with pytest.raises(ForeignSums):
        fed.roles(run, newton.MESSAGES, "train", client)


def test_a_tables_own_binner_cuts_alike(tmp_path):
    """Where the histogram resolves every value, its cuts part the rows as a table's own binner does."""
    values = np.random.default_rng(2).integers(0, 40, 400).astype(np.float64)
    some = edges(tmp_path, values, range=[0, 39])
    cuts = Distribution(some, counted(some, values, "x")).cuts(16, 5)
    context = hospitals(tmp_path / "own").context("north")
    limits = context.terms.limits.model_copy(update={"minimum_bin_rows": 5})
    table = pa.table({"age": values, "dose": values, "ward": ["a"] * 400})
    own = Binner.fit(table, context.terms.table("north"), np.ones(400, bool), limits, 16, "north")
    assert np.array_equal(np.searchsorted(cuts, values), np.searchsorted(own.cuts[0], values))
