"""Vectors of ciphertexts: homomorphism, hostile columns, fresh randomness, pools."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tombolo.fl_tasks.crypto import obfuscation
from tombolo.fl_tasks.crypto.errors import InvalidCiphertext, OutOfRange, WrongKey, WrongShape
from tombolo.fl_tasks.crypto.factors import join
from tombolo.fl_tasks.crypto.pool import open_pool
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt, decrypt_residues, encrypt, fresh_zeros, zeros
from tombolo.storage.schema import Paillier

quick = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
integers = st.integers(-(2**100), 2**100)
triples = st.lists(st.tuples(integers, integers, st.integers(-(2**60), 2**60)), min_size=1, max_size=6)


@quick
@given(triples)
def test_arithmetic_is_that_of_the_integers(private, rows):
    a, b, k = ([row[i] for row in rows] for i in range(3))
    x = encrypt(private.public, a)
    assert decrypt(private, x + encrypt(private.public, b)) == [i + j for i, j in zip(a, b, strict=True)]
    assert decrypt(private, x.add_plain(b)) == [i + j for i, j in zip(a, b, strict=True)]
    assert decrypt(private, x.times(k)) == [i * j for i, j in zip(a, k, strict=True)]
    assert decrypt(private, x.total()) == [sum(a)]


def test_numpy_operands(private):
    x = encrypt(private.public, np.array([3, -4, 2**62], dtype=np.int64))
    assert decrypt(private, x.times(np.array([-1, 1, 0], dtype=np.int8))) == [-3, -4, 0]
    assert decrypt(private, x.add_plain(np.array([1, 1, -1]))) == [4, -3, 2**62 - 1]
    for bad in (np.array([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0], np.zeros((3, 1), dtype=np.int64)):
        with pytest.raises(WrongShape):
            x.add_plain(bad)


def test_residues_and_signs(private):
    n = int(private.public.n)
    assert decrypt_residues(private, encrypt(private.public, [-1, n - 2, 5])) == [n - 1, n - 2, 5]
    assert decrypt(private, encrypt(private.public, [n // 2, n // 2 + 1])) == [n // 2, -(n // 2)]
    with pytest.raises(OutOfRange):
        encrypt(private.public, [n])


def test_slices_permutations_and_concatenation(private):
    x = encrypt(private.public, range(6))
    assert len(x) == 6
    assert decrypt(private, x[1:4]) == [1, 2, 3]
    assert decrypt(private, x[-1]) == [5]
    assert decrypt(private, x[::2]) == [0, 2, 4]
    assert len(x[4:2]) == 0
    assert decrypt(private, x.take([5, 0, 0])) == [5, 0, 0]
    assert decrypt(private, CipherVector.concatenate([x[:1], x[4:]])) == [0, 4, 5]
    assert x[1:4] == x.take([1, 2, 3])
    for bad in ([6], [-1]):
        with pytest.raises(WrongShape):
            x.take(bad)
    with pytest.raises(IndexError):
        x[6]
    with pytest.raises(TypeError):
        x.buffer[0] = 1


def test_keys_and_lengths_do_not_mix(private, other):
    x, y = encrypt(private.public, [1]), encrypt(other.public, [1])
    with pytest.raises(WrongKey):
        x + y
    with pytest.raises(WrongKey):
        CipherVector.concatenate([x, y])
    with pytest.raises(WrongKey):
        decrypt(private, y)
    with pytest.raises(WrongShape):
        x + encrypt(private.public, [1, 2])
    with pytest.raises(WrongShape):
        x.times([1, 2])
    with pytest.raises(WrongShape):
        CipherVector(private.public, b"\x01")


def test_randomness_is_fresh(private):
    public = private.public
    same = encrypt(public, [1] * 40)
    assert len(set(same.values())) == 40
    for again in (same.rerandomise(), same.rerandomise_full(), same.rerandomise_full(fresh_zeros(public, 40))):
        assert decrypt(private, again) == [1] * 40
        assert not set(again.values()) & set(same.values())
    assert decrypt(private, zeros(public, 2)) == [0, 0]


def test_exponents_are_as_strong_as_the_key():
    strength = {bits: obfuscation.exponent_bits(SimpleNamespace(bits=bits)) for bits in (2048, 3072, 4096)}
    assert strength == {2048: 224, 3072: 256, 4096: 304}


@pytest.mark.parametrize("drawn", [10, 3000])
def test_drawn_powers_are_of_the_base(public, drawn, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(obfuscation.secrets, "token_bytes", lambda count: b"\x03\x00" * (count // 2))
    supply = obfuscation._Supply(int(public.n))
    power = supply.draw(drawn)[-1]
    table = supply._table
    exponent = sum(3 << table.window * row for row in range(table.rows))
    assert table.rows * table.window >= obfuscation.exponent_bits(public)
    assert join(public, *power) == pow(obfuscation._base(public), exponent, public.nsquare)


def test_arrow_round_trip_over_the_same_memory(private):
    x = encrypt(private.public, [1, 2, 3])
    array = x.to_arrow()
    assert array.type == pa.binary(private.public.width)
    assert CipherVector.from_arrow(private.public, array) == x
    assert CipherVector.from_arrow(private.public, array[1:]) == x[1:]
    assert CipherVector.from_arrow(private.public, pa.chunked_array([array[:1], array[1:]])) == x
    wrapped = Paillier("arbiter").wrap(array, key=private.public.key_id)
    assert CipherVector.from_arrow(private.public, wrapped) == x
    assert len(CipherVector.from_arrow(private.public, array[:0])) == 0


def test_hostile_columns_are_refused(private):
    public = private.public
    good = int(encrypt(public, [1]).values()[0])

    def column(*values):
        return pa.array([int(v).to_bytes(public.width, "big") for v in values], pa.binary(public.width))

    assert len(CipherVector.from_arrow(public, column(good, 1))) == 2
    nsquare = int(public.nsquare)
    for bad in (0, nsquare, nsquare + 1, int(public.n), int(private._p) * 7, int(private._q), 256**public.width - 1):
        with pytest.raises(InvalidCiphertext):
            CipherVector.from_arrow(public, column(good, bad, good))
    foreign = pa.array([b"\x01" * (public.width + 1)], pa.binary(public.width + 1))
    nulls = pa.array([None], pa.binary(public.width))
    for bad in (foreign, nulls, pa.array([b"x"]), pa.array([1])):
        with pytest.raises(InvalidCiphertext):
            CipherVector.from_arrow(public, bad)


def test_inverse_of_a_non_unit_is_refused(private):
    with pytest.raises(InvalidCiphertext):
        CipherVector.from_values(private.public, [private.public.n]).times([-1])


def test_process_pool_gives_the_same(private, monkeypatch):
    monkeypatch.setattr("tombolo.fl_tasks.crypto.pool._WORTH_SHIPPING_US", 100.0)
    monkeypatch.setattr("tombolo.fl_tasks.crypto.pool._CHUNK_US", 100.0)
    values = list(range(-30, 30))
    with open_pool(2, private=private) as pool:
        x = encrypt(private.public, values, pool)
        assert decrypt(private, x, pool) == values
        assert decrypt(private, x.times(values, pool).rerandomise_full(pool=pool), pool) == [v * v for v in values]


def test_a_given_executor_never_gets_the_private_key(private, monkeypatch):
    monkeypatch.setattr("tombolo.fl_tasks.crypto.pool._WORTH_SHIPPING_US", 0.0)
    sent = []
    with ThreadPoolExecutor(2) as threads:
        monkeypatch.setattr(threads, "submit", lambda work, _s=threads.submit: (sent.append(work), _s(work))[1])
        with open_pool(2, executor=threads, private=private) as pool:
            x = encrypt(private.public, list(range(200)), pool).rerandomise(pool)
            assert decrypt(private, x, pool) == list(range(200))
    assert {repr(work) for work in sent} == {"short_bytes"}
    wire = b"".join(pickle.dumps(work) for work in sent)
    assert pickle.dumps(int(private.public.n))[-50:-1] in wire
    assert not any(pickle.dumps(int(secret))[-50:-1] in wire for secret in (private._p, private._q))
