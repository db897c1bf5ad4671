"""Paillier keys: size and form rules, wire form, and interoperability with python-paillier."""

import os
import subprocess
import sys

import gmpy2
import phe
import pytest
from gmpy2 import mpz

from tombolo.fl_tasks.crypto.errors import InvalidCiphertext, MalformedKey, WeakKey
from tombolo.fl_tasks.crypto.paillier import PrivateKey, PublicKey, generate
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt, encrypt

KNOWN = (
    "81c5c5bfeb79de11051096d04e6e6209413970de85da403d096e380ddaec234840546a53a8d519afc132e28f3a52bb7c5481"
    "7cb4d7c804c9cf2d54f374f7ffe4cbde103d1b7e0ae5daa55f550b2f6b006f9c0438d3737a4b26214c05873d3ece37217fa6"
    "3a22793b7a48c9ae0917d349926cd669af7b5d62f91be6f7013dc69b33"
)


def test_generated_key_suits_short_exponents():
    key = generate(1024)
    p, q = int(key._p), int(key._q)
    assert key.public.bits == 1024
    assert p % 4 == q % 4 == 3
    assert gmpy2.gcd(p - 1, q - 1) == 2
    assert gmpy2.is_prime(p)
    assert gmpy2.is_prime(q)


def test_default_key_is_2048_bits_and_works():
    key = generate()
    assert key.public.bits == 2048
    assert (key.public.width, key.public.residue_width) == (512, 256)
    assert decrypt(key, encrypt(key.public, [-5, 0, 2**64])) == [-5, 0, 2**64]


def test_known_answer():
    key = PrivateKey.from_bytes(bytes.fromhex(KNOWN))
    n = int(key.public.n)
    for message, r in ((0, 2), (1, 3), (n - 1, 12345), (42, n - 2)):
        ciphertext = pow(n + 1, message, n * n) * pow(r, n, n * n) % (n * n)
        assert key.residue(mpz(ciphertext)) == message
    assert key.public.key_id == "462587c7493dfe1d"


def test_wire_form_round_trip(private):
    assert PublicKey.from_bytes(private.public.to_bytes()) == private.public
    assert PrivateKey.from_bytes(private.to_bytes()).public == private.public
    assert "_p" not in repr(private)
    assert str(int(private._p)) not in repr(private)


@pytest.mark.parametrize("bits", [512, 1008, 5120])
def test_absurd_sizes_are_refused(bits):
    with pytest.raises(WeakKey, match="TMB-CRYPTO-001"):
        generate(bits)
    with pytest.raises(WeakKey):
        PublicKey((1 << bits) - 1)
    with pytest.raises(WeakKey):
        PublicKey.from_bytes(b"\x01" + ((1 << bits) - 1).to_bytes(bits // 8, "big"))


def test_malformed_moduli_are_refused(private):
    n, p = int(private.public.n), int(private._p)
    prime = int(gmpy2.next_prime(n))
    threefold = n - n % 3
    for bad in (n + 1, threefold if threefold % 2 else threefold - 3):
        with pytest.raises(MalformedKey):
            PublicKey(bad)
    for bad in (prime, p * p):
        with pytest.raises((MalformedKey, WeakKey)):
            PublicKey.from_bytes(b"\x01" + bad.to_bytes((bad.bit_length() + 7) // 8, "big"))


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x02" + b"\xff" * 128, b"\x01\x00" + b"\xff" * 128])
def test_foreign_wire_forms_are_refused(data):
    with pytest.raises(MalformedKey):
        PublicKey.from_bytes(data)


def test_private_key_must_be_two_primes(private):
    p, q = int(private._p), int(private._q)
    for bad in ((p, p), (p, q + 2), (1, p * q), (p * q, 1)):
        with pytest.raises(MalformedKey):
            PrivateKey(*bad)
    for data in (b"", private.to_bytes()[:-1], b"\x01" + private.to_bytes()[1:], b"\x81" + b"\xff" * 4096):
        with pytest.raises(MalformedKey):
            PrivateKey.from_bytes(data)


def test_ciphertext_out_of_range_is_not_decrypted(private):
    for bad in (mpz(0), private.public.nsquare, mpz(-1)):
        with pytest.raises(InvalidCiphertext):
            private.residue(bad)


def test_python_paillier_reads_ours_and_we_read_theirs(private):
    public, theirs = private.public, private.to_phe()
    ours = encrypt(public, [7, -9]).values()
    assert [theirs.raw_decrypt(int(c)) for c in ours] == [7, int(public.n) - 9]
    raw = public.to_phe().raw_encrypt(123456)
    assert decrypt(private, CipherVector.from_values(public, [mpz(raw)])) == [123456]


def test_python_paillier_keys_are_taken_over():
    _, theirs = phe.generate_paillier_keypair(n_length=1024)
    key = PrivateKey.from_phe(theirs)
    assert int(key.public.n) == theirs.public_key.n
    assert theirs.raw_decrypt(int(encrypt(key.public, [31]).values()[0])) == 31


PROGRAM = """
from tombolo.fl_tasks.crypto.errors import WeakKey
from tombolo.fl_tasks.crypto.paillier import PublicKey
try:
    PublicKey.from_bytes(bytes.fromhex("{key}"))
except WeakKey as error:
    print(error.code)
else:
    print("accepted")
"""


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "TMB-CRYPTO-001"),
        ({"TOMBOLO_TEST_KEYS": "1"}, "TMB-CRYPTO-001"),
        ({"PYTEST_VERSION": "9"}, "TMB-CRYPTO-001"),
        ({"TOMBOLO_TEST_KEYS": "1", "PYTEST_VERSION": "9"}, "accepted"),
    ],
)
def test_small_keys_need_the_switch_and_a_test_run(private, environment, expected):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "TOMBOLO", "COV"))}
    clean["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", PROGRAM.format(key=private.public.to_bytes().hex())]
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == expected


def test_without_the_switch_small_keys_are_refused_here_too(private, monkeypatch):
    data = private.to_bytes()
    monkeypatch.delenv("TOMBOLO_TEST_KEYS")
    with pytest.raises(WeakKey):
        PrivateKey.from_bytes(data)
