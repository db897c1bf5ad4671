"""Paillier keys: size and form rules, wire form, and interoperability with python-paillier."""

import gmpy2
import phe
import pytest
from gmpy2 import mpz

from tests.federation import TEST_BITS
from tombolo.fl_tasks.crypto.errors import InvalidCiphertext, MalformedKey, WeakKey
from tombolo.fl_tasks.crypto.paillier import PrivateKey, PublicKey, generate
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt, encrypt

KNOWN = (
    "81c5c5bfeb79de11051096d04e6e6209413970de85da403d096e380ddaec234840546a53a8d519afc132e28f3a52bb7c5481"
    "7cb4d7c804c9cf2d54f374f7ffe4cbde103d1b7e0ae5daa55f550b2f6b006f9c0438d3737a4b26214c05873d3ece37217fa6"
    "3a22793b7a48c9ae0917d349926cd669af7b5d62f91be6f7013dc69b33"
)


def test_generated_key_suits_short_exponents():
    key = generate(TEST_BITS, TEST_BITS)
    p, q = int(key._p), int(key._q)
    assert key.public.bits == TEST_BITS
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
    key = PrivateKey.from_bytes(bytes.fromhex(KNOWN), TEST_BITS)
    n = int(key.public.n)
    for message, r in ((0, 2), (1, 3), (n - 1, 12345), (42, n - 2)):
        ciphertext = pow(n + 1, message, n * n) * pow(r, n, n * n) % (n * n)
        assert key.residue(mpz(ciphertext)) == message
    assert key.public.key_id == "462587c7493dfe1d"


def test_wire_form_round_trip(private):
    assert PublicKey.from_bytes(private.public.to_bytes(), TEST_BITS) == private.public
    assert PrivateKey.from_bytes(private.to_bytes(), TEST_BITS).public == private.public
    assert "_p" not in repr(private)
    assert str(int(private._p)) not in repr(private)


@pytest.mark.parametrize("bits", [512, 2040, 5120])
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
            PublicKey(bad, TEST_BITS)
    for bad in (prime, p * p):
        with pytest.raises((MalformedKey, WeakKey)):
            PublicKey.from_bytes(b"\x01" + bad.to_bytes((bad.bit_length() + 7) // 8, "big"), TEST_BITS)


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x02" + b"\xff" * 128, b"\x01\x00" + b"\xff" * 128])
def test_foreign_wire_forms_are_refused(data):
    with pytest.raises(MalformedKey):
        PublicKey.from_bytes(data)


def test_private_key_must_be_two_primes(private):
    p, q = int(private._p), int(private._q)
    for bad in ((p, p), (p, q + 2), (1, p * q), (p * q, 1)):
        with pytest.raises(MalformedKey):
            PrivateKey(*bad, TEST_BITS)
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
    _, theirs = phe.generate_paillier_keypair(n_length=TEST_BITS)
    key = PrivateKey.from_phe(theirs, TEST_BITS)
    assert int(key.public.n) == theirs.public_key.n
    assert theirs.raw_decrypt(int(encrypt(key.public, [31]).values()[0])) == 31


def test_short_keys_are_refused_unless_the_caller_accepts_them(private):
    """Own or a peer's, and in a test run as anywhere: only what is handed in counts."""
    p, q, n = int(private._p), int(private._q), int(private.public.n)
    for short in (
        lambda *shortest: generate(TEST_BITS, *shortest),
        lambda *shortest: PrivateKey(p, q, *shortest),
        lambda *shortest: PrivateKey.from_bytes(private.to_bytes(), *shortest),
        lambda *shortest: PrivateKey.from_phe(private.to_phe(), *shortest),
        lambda *shortest: PublicKey(n, *shortest),
        lambda *shortest: PublicKey.from_bytes(private.public.to_bytes(), *shortest),
    ):
        with pytest.raises(WeakKey, match="TMB-CRYPTO-001"):
            short()
        with pytest.raises(WeakKey):
            short(TEST_BITS + 1)
        short(TEST_BITS)
