"""Canonical JSON: one spelling per document, and only that spelling is accepted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.storage.canonical import NotCanonical, canonical, digest, parse

documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text() | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(documents)
def test_round_trip(document):
    assert parse(canonical(document)) == document
    assert canonical(parse(canonical(document))) == canonical(document)


@given(st.dictionaries(st.text(), st.integers(0, 9), max_size=6))
def test_order_does_not_matter(document):
    assert digest(document) == digest(dict(reversed(document.items())))


@pytest.mark.parametrize("data", [b'{"b":1,"a":2}', b'{"a": 1}', b'{"a":1,"a":1}', b"[1.0]", b"\xff", b"{", b"NaN", b"[1e2]"])
def test_other_spellings_are_refused(data):
    with pytest.raises(NotCanonical):
        parse(data)


def test_oversized_documents_are_refused():
    with pytest.raises(NotCanonical):
        parse(canonical("x" * 100), limit=50)
