"""Merkle trees: known vectors, and every proof leads to the root while nothing else does."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.storage.ledger.merkle import BadProof, leaf, proof, root, verify_proof

# Certificate Transparency's reference inputs and the roots over the first 1, 2, 3 and 8 of them (RFC 6962 implementations).
INPUTS = [bytes.fromhex(one) for one in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "60616263646566676869")]
INPUTS[7] = bytes(range(0x60, 0x70))
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
ITEMS = st.lists(st.binary(max_size=8), min_size=1, max_size=40)


@pytest.mark.parametrize("count", ROOTS)
def test_reference_roots(count):
    assert root([leaf(one) for one in INPUTS[:count]]).hex() == ROOTS[count]


def test_root_of_nothing():
    assert root([]) == hashlib.sha256(b"").digest()


@given(ITEMS, st.data())
def test_a_proof_leads_to_the_root(items, data):
    leaves = [leaf(one) for one in items]
    index = data.draw(st.integers(0, len(items) - 1))
    verify_proof(leaves[index], index, len(items), proof(leaves, index), root(leaves))


@given(ITEMS, st.data())
def test_nothing_else_does(items, data):
    leaves = [leaf(one) for one in items]
    index = data.draw(st.integers(0, len(items) - 1))
    path, top = proof(leaves, index), root(leaves)
    other = data.draw(st.integers(0, len(items) + 2).filter(lambda one: one != index))
    flipped = [bytes([path[0][0] ^ 1]) + path[0][1:], *path[1:]] if path else [b"\0" * 32]
    for item, at, way in (
        (leaf(items[index] + b"x"), index, path),
        (leaves[index], index, flipped),
        (leaves[index], index, [*path, top]),
    ):
        with pytest.raises(BadProof):
            verify_proof(item, at, len(items), way, top)
    if other >= len(items) or leaves[other] != leaves[index]:
        with pytest.raises(BadProof):
            verify_proof(leaves[index], other, len(items), path, top)
