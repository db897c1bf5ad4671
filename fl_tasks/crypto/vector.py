"""Vectors of Paillier ciphertexts in one flat buffer, and exact arithmetic on the encrypted values.

Sums, signs, scalings and permutations are deterministic. A vector that was computed with them from a peer's ciphertexts
must be re-randomised before it leaves the party (:meth:`CipherVector.rerandomise`, or :meth:`CipherVector.rerandomise_full`
if it goes to the key holder).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import index
from typing import Any

import gmpy2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from gmpy2 import mpz

from tombolo.fl_tasks.crypto.errors import InvalidCiphertext, OutOfRange, WrongKey, WrongShape
from tombolo.fl_tasks.crypto.factors import Factors, inverses
from tombolo.fl_tasks.crypto.obfuscation import full_zeros, short_zeros
from tombolo.fl_tasks.crypto.paillier import PrivateKey, PublicKey, cached_public
from tombolo.fl_tasks.crypto.pool import INLINE, Pool, held_key

Integers = Sequence[int] | npt.NDArray[np.int64]
_ENCRYPT_US, _FULL_US, _SCALE_US, _DECRYPT_US = 55.0, 11_000.0, 8.0, 3_000.0


def _integers(values: Integers) -> list[int]:
    """The values as Python integers. Floats are refused, because rounding them would go unnoticed."""
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise WrongShape("Plain operands must be one-dimensional.")
    try:
        return [index(value) for value in (values.tolist() if isinstance(values, np.ndarray) else values)]
    except TypeError:
        raise WrongShape("Plain operands must be integers.") from None


class CipherVector:
    """An immutable vector of ciphertexts under one key: big-endian, of fixed width, one after the other in a buffer.

    The constructor does not check the ciphertexts. Use :meth:`from_arrow` for everything that a peer sent.
    """

    __slots__ = ("_buffer", "public")

    def __init__(self, public: PublicKey, buffer: bytes | memoryview) -> None:
        self.public = public
        self._buffer = memoryview(buffer).cast("B").toreadonly()
        if len(self._buffer) % public.width:
            raise WrongShape("The buffer is not a whole number of ciphertexts.")

    @classmethod
    def from_values(cls, public: PublicKey, values: Iterable[Any]) -> CipherVector:
        """A vector of numbers modulo n^2."""
        width = public.width
        return cls(public, b"".join([value.to_bytes(width, "big") for value in values]))

    def values(self) -> list[Any]:
        """The ciphertexts as numbers modulo n^2 (mpz)."""
        width, data, read = self.public.width, bytes(self._buffer), mpz.from_bytes
        return [read(data[i : i + width], "big") for i in range(0, len(data), width)]

    @property
    def buffer(self) -> memoryview:
        """The flat, read-only buffer."""
        return self._buffer

    def __len__(self) -> int:
        return len(self._buffer) // self.public.width

    def __getitem__(self, at: int | slice) -> CipherVector:
        """A slice, or the vector of length 1 at an index."""
        if isinstance(at, int):
            at = at + len(self) if at < 0 else at
            if not 0 <= at < len(self):
                raise IndexError("ciphertext index out of range")
            at = slice(at, at + 1)
        start, stop, step = at.indices(len(self))
        if step != 1:
            return self.take(np.arange(start, stop, step))
        width = self.public.width
        return CipherVector(self.public, self._buffer[start * width : max(start, stop) * width])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CipherVector) and self.public == other.public and self._buffer == other._buffer

    def __hash__(self) -> int:
        return hash((self.public, bytes(self._buffer)))

    def __repr__(self) -> str:
        return f"CipherVector({len(self)} under {self.public.key_id})"

    def _same_key(self, other: CipherVector) -> None:
        if self.public != other.public:
            raise WrongKey

    def _integers(self, values: Integers) -> list[int]:
        plain = _integers(values)
        if len(plain) != len(self):
            raise WrongShape(f"{len(plain)} integers for {len(self)} ciphertexts.")
        return plain

    def __add__(self, other: CipherVector) -> CipherVector:
        """Add element by element: the result encrypts the sums."""
        self._same_key(other)
        if len(self) != len(other):
            raise WrongShape(f"{len(self)} and {len(other)} ciphertexts.")
        modulus = self.public.nsquare
        return self.from_values(self.public, [a * b % modulus for a, b in zip(self.values(), other.values(), strict=True)])

    def add_plain(self, values: Integers) -> CipherVector:
        """Add integers (signed, or residues modulo n) to the encrypted values."""
        return _joined(self.public, zip(self.values(), self._integers(values), strict=True))

    def times(self, values: Integers, pool: Pool | None = None) -> CipherVector:
        """Multiply the encrypted values by signed integers. A factor of 0 gives the trivial ciphertext 1."""
        plain = self._integers(values)
        bits = max((abs(v).bit_length() for v in plain), default=0)
        width, pool = bits // 8 + 1, pool or INLINE
        parts = pool.split(len(self), 25.0 + _SCALE_US * bits)
        factors = [b"".join([v.to_bytes(width, "little", signed=True) for v in plain[part]]) for part in parts]
        tasks = [(int(self.public.n), bytes(self[part].buffer), data, width) for part, data in zip(parts, factors, strict=True)]
        sizes = [len(buffer) for _, buffer, _, _ in tasks]
        return CipherVector(self.public, b"".join(pool.map(_scaled, tasks, sizes)))

    def total(self) -> CipherVector:
        """The vector of length 1 that encrypts the sum."""
        product, modulus = mpz(1), self.public.nsquare
        for value in self.values():
            product = product * value % modulus
        return self.from_values(self.public, [product])

    def take(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> CipherVector:
        """The ciphertexts at these positions, in this order."""
        positions = np.asarray(indices, dtype=np.int64)
        if positions.size and (positions.min() < 0 or positions.max() >= len(self)):
            raise WrongShape("An index lies outside the vector.")
        rows = np.frombuffer(self._buffer, dtype=np.uint8).reshape(-1, self.public.width)
        return CipherVector(self.public, rows[positions].tobytes())

    def rerandomise(self, pool: Pool | None = None) -> CipherVector:
        """The same plaintexts in fresh ciphertexts. Only the key holder could link them to the old ones."""
        return self + zeros(self.public, len(self), pool)

    def rerandomise_full(self, zeros: CipherVector | None = None, pool: Pool | None = None) -> CipherVector:
        """The same plaintexts in fresh ciphertexts. Not even the key holder can link them to the old ones.

        ``zeros`` may come from an earlier :func:`fresh_zeros` of the same length. Use each of them only once.
        """
        return self + (fresh_zeros(self.public, len(self), pool) if zeros is None else zeros)

    @staticmethod
    def concatenate(vectors: Sequence[CipherVector]) -> CipherVector:
        """Join vectors under the same key; there must be at least one."""
        if not vectors:
            raise WrongShape("Nothing to concatenate.")
        for vector in vectors:
            vectors[0]._same_key(vector)
        return CipherVector(vectors[0].public, b"".join([vector.buffer for vector in vectors]))

    def to_arrow(self) -> pa.FixedSizeBinaryArray:
        """The ciphertexts as a fixed-size binary array over the same memory."""
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(self.public.width), len(self), [None, pa.py_buffer(self._buffer)])

    @classmethod
    def from_arrow(cls, public: PublicKey, array: pa.Array | pa.ChunkedArray) -> CipherVector:
        """Check and read a peer's column (plain or extension type).

        Raises :class:`InvalidCiphertext` unless every value c is of the right width with 0 < c < n^2 and gcd(c, n) = 1.
        """
        vector = cls(public, fixed_bytes(array, public.width, InvalidCiphertext))
        n, nsquare, product = public.n, public.nsquare, mpz(1)
        for value in vector.values():
            if not 0 < value < nsquare:
                raise InvalidCiphertext("A value is not below n^2.")
            product = value % n * product % n
        if gmpy2.gcd(product, n) != 1:
            raise InvalidCiphertext("A value is not invertible.")
        return vector


def fixed_bytes(array: pa.Array | pa.ChunkedArray, width: int, error: type[Exception]) -> bytes:
    """The bytes of a fixed-size binary array (plain or extension type). Raises ``error`` if the array is not one."""
    if isinstance(array, pa.ChunkedArray):
        return b"".join([fixed_bytes(chunk, width, error) for chunk in array.chunks])
    storage = array.storage if isinstance(array, pa.ExtensionArray) else array
    if not pa.types.is_fixed_size_binary(storage.type) or storage.type.byte_width != width:
        raise error(f"The column does not have {width} bytes per value.")
    if storage.null_count:
        raise error("The column has null values.")
    if len(storage) == 0:
        return b""
    data = storage.buffers()[1]
    start = storage.offset * width
    if data is None or data.size < start + len(storage) * width:
        raise error("The column is truncated.")
    return bytes(memoryview(data)[start : start + len(storage) * width])


def _scaled(n: int, buffer: bytes, data: bytes, width: int) -> bytes:
    """Multiply ciphertexts by the signed integers in ``data``, each of ``width`` bytes. Runs in a pool's workers."""
    public = cached_public(n)
    factors = [int.from_bytes(data[at : at + width], "little", signed=True) for at in range(0, len(data), width)]
    values, modulus = CipherVector(public, buffer).values(), public.nsquare
    negative = [i for i, factor in enumerate(factors) if factor < 0]
    for i, inverse in zip(negative, inverses([values[i] for i in negative], modulus), strict=True):
        values[i] = inverse
    scaled = [
        value if abs(factor) == 1 else gmpy2.powmod(value, abs(factor), modulus)
        for value, factor in zip(values, factors, strict=True)
    ]
    return bytes(CipherVector.from_values(public, scaled).buffer)


def _joined(public: PublicKey, factors: Iterable[Factors]) -> CipherVector:
    n, nsquare = public.n, public.nsquare
    return CipherVector.from_values(public, [(u + n * (u * v % n)) % nsquare for u, v in factors])


def short_bytes(n: int, count: int) -> bytes:
    """The buffer of ``count`` encryptions of zero with short exponents. Runs in a pool's workers."""
    public = cached_public(n)
    return bytes(_joined(public, short_zeros(public, count)).buffer)


def full_bytes(n: int, count: int) -> bytes:
    """The buffer of ``count`` encryptions of zero of full size. Runs in a pool's workers."""
    public = cached_public(n)
    return bytes(CipherVector.from_values(public, full_zeros(public, count)).buffer)


def zeros(public: PublicKey, count: int, pool: Pool | None = None) -> CipherVector:
    """Fresh encryptions of zero with short exponents (about 0.05 ms each at 2048 bits).

    ``zeros(...).add_plain(values)`` encrypts values. If the zeros were made before, it costs a few microseconds. Use them once.
    """
    pool = pool or INLINE
    return _made(short_bytes, public, pool, pool.split(count, _ENCRYPT_US))


def fresh_zeros(public: PublicKey, count: int, pool: Pool | None = None) -> CipherVector:
    """Fresh encryptions of zero with full-size randomness (about 11 ms each at 2048 bits); may be made before they are needed."""
    pool = pool or INLINE
    return _made(full_bytes, public, pool, pool.split(count, _FULL_US))


def _made(make: Callable[[int, int], bytes], public: PublicKey, pool: Pool, parts: list[slice]) -> CipherVector:
    counts = [part.stop - part.start for part in parts]
    sizes = [public.width * count for count in counts]
    return CipherVector(public, b"".join(pool.map(make, [(int(public.n), count) for count in counts], sizes)))


def encrypt(public: PublicKey, values: Integers, pool: Pool | None = None) -> CipherVector:
    """Encrypt signed integers, or residues modulo n. Raises :class:`OutOfRange` for magnitudes of n and above.

    The pool's workers only make encryptions of zero: they see no plaintext.
    """
    plain = _integers(values)
    if plain and max(max(plain), -min(plain)) >= public.n:
        raise OutOfRange("A plaintext is not smaller than n.")
    if len((pool or INLINE).split(len(plain), _ENCRYPT_US)) == 1:
        return _joined(public, [(u, v + m) for (u, v), m in zip(short_zeros(public, len(plain)), plain, strict=True)])
    return zeros(public, len(plain), pool).add_plain(plain)


def _residues(buffer: bytes) -> bytes:
    private = held_key()
    width = private.public.residue_width
    return b"".join([private.residue(c).to_bytes(width, "big") for c in CipherVector(private.public, buffer).values()])


def decrypt_residues(private: PrivateKey, vector: CipherVector, pool: Pool | None = None) -> list[int]:
    """The residues in [0, n) that are encrypted (about 3 ms each at 2048 bits). Raises :class:`WrongKey`.

    The pool is used only if it was opened with this private key.
    """
    if vector.public != private.public:
        raise WrongKey
    if pool is None or pool.key_id != private.public.key_id:
        return [int(private.residue(c)) for c in vector.values()]
    parts = pool.split(len(vector), _DECRYPT_US)
    if len(parts) == 1:
        return [int(private.residue(c)) for c in vector.values()]
    width = private.public.residue_width
    sizes = [width * (part.stop - part.start) for part in parts]
    residues = b"".join(pool.map(_residues, [(bytes(vector[part].buffer),) for part in parts], sizes))
    return [int.from_bytes(residues[i : i + width], "big") for i in range(0, len(residues), width)]


def decrypt(private: PrivateKey, vector: CipherVector, pool: Pool | None = None) -> list[int]:
    """The signed integers in (-n/2, n/2) that are encrypted. Raises :class:`WrongKey`."""
    return [private.public.signed(mpz(residue)) for residue in decrypt_residues(private, vector, pool)]
