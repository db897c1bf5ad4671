"""Several small signed integers in one Paillier plaintext: 63 slots of 32 bits, 51 of 40 or 31 of 64 at 2048 bits.

Packed plaintexts add slot by slot, also under encryption, if the **sum** s in every slot stays in -2^(b-1) <= s < 2^(b-1)
for slots of b bits. So with k summands, each must be within 2^(b-1)/k. A sum that is too large for its slot changes the
next slot, and this cannot be seen from the slot alone. Check the slot width with :func:`check_slots` before encrypting.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gmpy2
import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto.errors import MalformedPacking, NoHeadroom, OutOfRange
from tombolo.fl_tasks.crypto.paillier import PublicKey
from tombolo.fl_tasks.crypto.vector import CipherVector


def slots_per_ciphertext(public: PublicKey, slot_bits: int) -> int:
    """How many slots fit so that the packed value stays within (-n/2, n/2). Slots are whole bytes, and at least one must fit."""
    if slot_bits % 8 or not 8 <= slot_bits <= public.bits - 2:
        raise NoHeadroom("Slots must be whole bytes and must fit in a plaintext.")
    return (public.bits - 2) // slot_bits


def check_slots(slot_bits: int, bound: float, summands: int) -> None:
    """Raise :class:`NoHeadroom` if ``summands`` values of magnitude at most ``bound`` could overflow a slot."""
    if bound * summands >= 2.0 ** (slot_bits - 1):
        raise NoHeadroom(f"The sum of {summands} values with this bound does not fit in a slot of {slot_bits} bits.")


def _offset(slots: int, slot_bits: int) -> int:
    """A number with half of a slot's range in each of ``slots`` slots. Adding it makes all digits non-negative."""
    return int.from_bytes((bytes(slot_bits // 8 - 1) + b"\x80") * slots, "little")


def pack(values: Sequence[int] | npt.NDArray[np.integer[Any]], slot_bits: int, public: PublicKey) -> list[int]:
    """Pack signed integers into signed plaintexts. The first value is in the lowest slot of the first plaintext.

    Raises :class:`OutOfRange` if a value does not fit its slot.
    """
    slots, width, half = slots_per_ciphertext(public, slot_bits), slot_bits // 8, 1 << (slot_bits - 1)
    plain = values.tolist() if isinstance(values, np.ndarray) else [int(value) for value in values]
    try:
        digits = [(value + half).to_bytes(width, "little") for value in plain]
    except OverflowError:
        raise OutOfRange(f"A value does not fit in a slot of {slot_bits} bits.") from None
    packed = []
    for start in range(0, len(digits), slots):
        part = digits[start : start + slots]
        packed.append(int.from_bytes(b"".join(part), "little") - _offset(len(part), slot_bits))
    return packed


def placed(values: Sequence[int], slot_bits: int, public: PublicKey) -> list[int]:
    """The same as :func:`pack` for addends modulo n. Only their sum must fit the slots, so any integers are accepted unchecked."""
    slots = slots_per_ciphertext(public, slot_bits)
    groups = [values[start : start + slots] for start in range(0, len(values), slots)]
    return [sum(int(value) << slot_bits * slot for slot, value in enumerate(group)) for group in groups]


def pack_encrypted(vector: CipherVector, slot_bits: int) -> CipherVector:
    """Apply :func:`pack` to the encrypted plaintexts, modulo n. Takes ``slot_bits`` squarings per ciphertext.

    The result is deterministic: re-randomise before sending.
    """
    public, values = vector.public, vector.values()
    slots, shift, packed = slots_per_ciphertext(public, slot_bits), 1 << slot_bits, []
    for start in range(0, len(values), slots):
        *rest, gathered = values[start : start + slots]
        for value in reversed(rest):
            gathered = gmpy2.powmod(gathered, shift, public.nsquare) * value % public.nsquare
        packed.append(gathered)
    return CipherVector.from_values(public, packed)


def unpack(packed: Sequence[int], slot_bits: int, count: int, public: PublicKey) -> list[int]:
    """The ``count`` signed integers in packed plaintexts: decrypted, signed sums of results of :func:`pack`.

    Raises :class:`MalformedPacking` if the number of plaintexts does not match, or if a plaintext is larger than its slots.
    """
    slots = slots_per_ciphertext(public, slot_bits)
    if len(packed) != -(-count // slots):
        raise MalformedPacking(f"{len(packed)} plaintexts for {count} values in slots of {slot_bits} bits.")
    values: list[int] = []
    for value in packed:
        values.extend(slots_of(value, slot_bits, min(slots, count - len(values))))
    return values


def slots_of(value: int, slot_bits: int, held: int) -> list[int]:
    """The ``held`` signed integers in one packed plaintext. Raises :class:`MalformedPacking` if the plaintext is larger."""
    width, half = slot_bits // 8, 1 << (slot_bits - 1)
    try:
        digits = (int(value) + _offset(held, slot_bits)).to_bytes(held * width, "little")
    except OverflowError:
        raise MalformedPacking from None
    return [int.from_bytes(digits[i : i + width], "little") - half for i in range(0, len(digits), width)]
