"""One-time pads modulo n and slot packing."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tombolo.fl_tasks.crypto.errors import InvalidResidue, MalformedPacking, NoHeadroom, OutOfRange, WrongShape
from tombolo.fl_tasks.crypto.masks import mask_residues, residues_from_arrow, residues_to_arrow, unmask
from tombolo.fl_tasks.crypto.packing import (
    check_slots,
    pack,
    pack_encrypted,
    placed,
    slots_per_ciphertext,
    unpack,
)
from tombolo.fl_tasks.crypto.paillier import generate
from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.crypto.vector import decrypt, decrypt_residues, encrypt
from tombolo.storage.schema import PaddedModN

fixture_ok = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_masked_result_comes_back_to_its_owner(private):
    public = private.public
    secret = [5, -7, 2**90, 0]
    masks = mask_residues(public, 4, Prf(b"k" * 32).stream("gradient", 3))
    masked = encrypt(public, secret).add_plain(masks).rerandomise_full()
    seen = decrypt_residues(private, masked)
    assert not set(seen) & {v % int(public.n) for v in secret}
    back = residues_from_arrow(public, PaddedModN("arbiter").wrap(residues_to_arrow(public, seen)))
    assert unmask(public, back, masks) == secret


def test_masks_are_replayed_and_fill_the_ring(public):
    stream = Prf(b"k" * 32).stream
    masks = mask_residues(public, 200, stream("a"))
    assert masks == mask_residues(public, 200, stream("a"))
    assert masks != mask_residues(public, 200, stream("b"))
    n = int(public.n)
    assert all(0 <= mask < n for mask in masks)
    assert 60 < sum(mask > n // 2 for mask in masks) < 140


def test_hostile_residues_are_refused(public):
    n, width = int(public.n), public.residue_width
    with pytest.raises(InvalidResidue):
        residues_to_arrow(public, [n])
    for value in (n, 256**width - 1):
        with pytest.raises(InvalidResidue):
            residues_from_arrow(public, pa.array([value.to_bytes(width, "big")], pa.binary(width)))
    for bad in (pa.array([None], pa.binary(width)), pa.array([b"1" * (width - 1)], pa.binary(width - 1))):
        with pytest.raises(InvalidResidue):
            residues_from_arrow(public, bad)
    with pytest.raises(WrongShape):
        unmask(public, [1], [])


@fixture_ok
@given(st.lists(st.tuples(st.integers(-(2**62), 2**62 - 1), st.integers(-(2**62), 2**62 - 1)), max_size=40))
def test_packed_sums_are_sums(public, pairs):
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    assert unpack(pack(a, 64, public), 64, len(a), public) == a
    added = [x + y for x, y in zip(pack(a, 64, public), pack(b, 64, public), strict=True)]
    assert unpack(added, 64, len(a), public) == [x + y for x, y in pairs]


@pytest.mark.parametrize(("slot_bits", "slots"), [(32, 31), (40, 25), (64, 15), (128, 7)])
def test_extremes_survive_encryption(private, slot_bits, slots):
    public = private.public
    assert slots_per_ciphertext(public, slot_bits) == slots
    half = 2 ** (slot_bits - 1)
    values = [-half, half - 1, 0, -1] * slots
    encrypted = encrypt(public, pack(values, slot_bits, public))
    assert len(encrypted) == -(-len(values) // slots)
    assert unpack(decrypt(private, encrypted), slot_bits, len(values), public) == values


def test_slots_of_a_full_size_key():
    public = generate(2048).public
    assert [slots_per_ciphertext(public, bits) for bits in (32, 40, 64)] == [63, 51, 31]


def test_packing_refuses_what_does_not_fit(public):
    for bad in (2**63, -(2**63) - 1):
        with pytest.raises(OutOfRange):
            pack([bad], 64, public)
    with pytest.raises(MalformedPacking):
        unpack([1, 2], 64, 3, public)
    for bad in (2**200, -(2**200)):
        with pytest.raises(MalformedPacking):
            unpack([bad], 64, 3, public)
    with pytest.raises(NoHeadroom):
        slots_per_ciphertext(public, 63)
    check_slots(64, 2.0**60, 7)
    with pytest.raises(NoHeadroom):
        check_slots(64, 2.0**60, 8)


@pytest.mark.parametrize("count", [1, 7, 8, 20])
def test_packing_under_encryption_is_that_of_plaintexts(private, count):
    random = np.random.default_rng(count)
    values = [int(one) for one in random.integers(-(2**62), 2**62, count)]
    packed = pack_encrypted(encrypt(private.public, values), 128)
    assert decrypt(private, packed) == pack(values, 128, private.public)


def test_addends_larger_than_a_slot_add_up_to_what_fits(public):
    random = np.random.default_rng(3)
    values = [int(one) for one in random.integers(-(2**40), 2**40, 20)]
    large = [int(one) << 150 for one in random.integers(1, 2**60, 20)]
    rest = [value - one for value, one in zip(values, large, strict=True)]
    sums = [(a + b) % int(public.n) for a, b in zip(placed(large, 64, public), placed(rest, 64, public), strict=True)]
    assert unpack([public.signed(one) for one in sums], 64, 20, public) == values
