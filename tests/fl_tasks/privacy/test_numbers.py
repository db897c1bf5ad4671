"""The rule for numbers per unknown, as properties; and what every engine declares is well formed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.agreements.protocol import GROUP, Protocol, protocol_named
from tombolo.fl_tasks.privacy.numbers import (
    EVERY_CLIENT,
    FEATURE_BITS,
    Numbers,
    Shape,
    entropy,
    most_column_numbers,
    most_label_numbers,
    smallest_group,
)
from tombolo.storage.plugins import offered

ROWS = st.integers(0, 10**7)
SHARES = st.floats(0.001, 0.5)
PROTOCOLS = {name: protocol_named(name).protocol for name in offered(GROUP)}
ENGINES = [pytest.param(one, engine, id=f"{name}-{engine}") for name, one in PROTOCOLS.items() for engine in one.engines]


@given(ROWS, SHARES)
def test_more_rows_allow_more_and_rarer_classes_less(rows: int, share: float) -> None:
    most = most_label_numbers(rows, share)
    assert 0 <= most <= most_label_numbers(rows + 1, share) <= most + 1
    assert most <= most_label_numbers(rows, 0.5)
    assert most * 128 <= rows


@given(ROWS, SHARES)
def test_allowed_numbers_keep_both_bounds(rows: int, share: float) -> None:
    most = most_label_numbers(rows, share)
    bits = FEATURE_BITS + math.log2(max(rows, 1)) / 2
    assert most * 32 <= rows * share * (1 - share) * (1 + 1e-9)
    assert most * bits <= 0.25 * rows * entropy(share) * (1 + 1e-9)
    one_more = most + 1
    assert one_more * 32 > rows * share * (1 - share) or one_more * bits > 0.25 * rows * entropy(share)


@given(st.integers(1, 10**5), st.integers(0, 10**4), SHARES)
def test_a_group_has_rows_for_its_numbers(minimum: int, numbers: int, share: float) -> None:
    group = smallest_group(minimum, numbers, share)
    assert group >= minimum
    assert group * share * (1 - share) / 32 >= numbers * (1 - 1e-9)
    assert group == minimum or (group - 1) * share * (1 - share) / 32 < numbers


@given(ROWS)
def test_numbers_about_a_column(rows: int) -> None:
    assert 16 * most_column_numbers(rows) <= rows < 16 * (most_column_numbers(rows) + 1)


@pytest.mark.parametrize(("share", "rows"), [(0.5, 128), (0.22, 187), (0.1, 356)])
def test_rows_of_one_number(share: float, rows: int) -> None:
    assert most_label_numbers(rows, share) == 1
    assert most_label_numbers(rows - 1, share) == 0


@pytest.mark.parametrize(("rows", "share"), [(-1, 0.5), (10, 0.0), (10, 0.6), (10, math.nan)])
def test_nonsense_is_refused(rows: int, share: float) -> None:
    for rule in (most_label_numbers, lambda count, part: smallest_group(1, count, part)):
        with pytest.raises(ValueError):
            rule(rows, share)


def shape_of(protocol: Protocol, engine: str | None, rows: int = 2000, rounds: int = 3, columns: int = 4) -> Shape:
    """A training with two parties per role that may have so many, and the default terms and parameters."""
    roles = {f"{role.name}-{n}": role.name for role in protocol.roles for n in range(1 if role.most == 1 else max(2, role.least))}
    holders = [party for party, role in roles.items() if "train" in protocol.role(role).tables]
    sections = tuple(one.model(**one.default) for one in protocol.sections.values() if one.default is not None)
    return Shape(roles, dict.fromkeys(holders, columns), rows, rounds, protocol.engine(engine).parameters(), sections)


@pytest.mark.parametrize(("protocol", "engine"), ENGINES)
def test_every_engine_that_trains_declares(protocol: Protocol, engine: str | None) -> None:
    part = protocol.engine(engine).numbers
    assert (part is not None) == ("train" in protocol.kinds)
    if part is None:
        return
    shape, found = shape_of(protocol, engine), {}
    for rounds in (1, 3, 50):
        many = shape_of(protocol, engine, rounds=rounds)
        found[rounds] = protocol.load(part)(many)
        for one in found[rounds]:
            assert isinstance(one, Numbers)
            assert one.owner == EVERY_CLIENT or one.owner in shape.holders
            assert set(one.to) <= set(shape.roles) - {one.owner}
            assert one.numbers >= 0
            assert 0 < one.rows <= shape.rows
    pairs = zip(found[1], found[3], strict=True), zip(found[3], found[50], strict=True)
    assert all(fewer.numbers <= more.numbers for pair in pairs for fewer, more in pair)
