"""Two books compared: what matches, what does not, and what third parties see of it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tombolo.storage.ledger.pairs import Line, joint_salt, leaf, match, summary

lines = st.builds(
    Line,
    sender=st.sampled_from(["ann", "ben"]),
    address=st.integers(0, 30).map(lambda number: f"to-x/trial/r1/000000/0/m/{number}"),
    message=st.just("m"),
    sha256=st.sampled_from(["a" * 64, "b" * 64]),
    size=st.integers(0, 99),
    rows=st.integers(0, 9),
    kinds=st.just("paillier"),
)
books = st.lists(lines, max_size=20, unique_by=lambda line: line.place)


@given(books, books, st.binary(min_size=32, max_size=32))
def test_both_sides_come_to_the_same_summary(one, other, salt):
    here, there = match(one, other), match(other, one)
    assert (here.ours, here.theirs) == (there.theirs, there.ours)
    assert summary(("ann", "ben"), salt, here) == summary(("ben", "ann"), salt, there)


@given(books, st.data())
def test_any_difference_is_found(book, data):
    if not book:
        return
    at = data.draw(st.integers(0, len(book) - 1))
    field, value = data.draw(
        st.sampled_from([("sha256", "c" * 64), ("size", 100), ("rows", 10), ("kinds", "open"), ("message", "n")])
    )
    altered = [replace(line, **{field: value}) if number == at else line for number, line in enumerate(book)]
    found = match(book, altered)
    assert summary(("ann", "ben"), b"s" * 32, found)["unmatched"] == 1
    assert found.ours == (book[at],) and found.theirs == (altered[at],)
    missing = match(book, book[:at] + book[at + 1 :])
    assert missing.ours == (book[at],) and not missing.theirs


@given(books, st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_leaves_depend_on_the_salt_of_both(book, mine, yours):
    salt = joint_salt([mine, yours])
    assert salt == joint_salt([yours, mine])
    for line in book:
        assert leaf(salt, line) != leaf(mine, line)
        assert line.sha256 not in leaf(salt, line).hex()
