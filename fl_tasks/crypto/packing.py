"""Several small signed integers in one Paillier plaintext: 63 slots of 32 bits, 51 of 40 or 31 of 64 at 2048 bits.

Packed plaintexts add slot by slot, also under encryption, as long as every slot's **sum** s stays in -2^(b-1) <= s <
2^(b-1) for slots of b bits: with k summands, each must be within 2^(b-1)/k. A sum that leaves its slot disturbs the
next one and cannot be detected from the slot alone: choose the slot width by :func:`check_slots` before encrypting.
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
    """How many slots fit so that the packed value stays within (-n/2, n/2). Slots are whole bytes; one at least must fit."""
    if slot_bits % 8 or not 8 <= slot_bits <= public.bits - 2:
        raise NoHeadroom("Slots are whole bytes, and not larger than a plaintext.")
    return (public.bits - 2) // slot_bits


def check_slots(slot_bits: int, bound: float, summands: int) -> None:
    """Raise :class:`NoHeadroom` if ``summands`` values of magnitude at most ``bound`` could overflow a slot."""
    if bound * summands >= 2.0 ** (slot_bits - 1):
        raise NoHeadroom(f"{summands} values at this bound do not fit a slot of {slot_bits} bits.")


def _offset(slots: int, slot_bits: int) -> int:
    """Half a slot's range in each of ``slots`` slots: what makes all digits non-negative."""
    return int.from_bytes((bytes(slot_bits // 8 - 1) + b"\x80") * slots, "little")


def pack(values: Sequence[int] | npt.NDArray[np.integer[Any]], slot_bits: int, public: PublicKey) -> list[int]:
    """Signed integers in, signed packed plaintexts out; the first value sits in the lowest slot of the first.

    Raises :class:`OutOfRange` if a value does not fit its slot.
    """
    slots, width, half = slots_per_ciphertext(public, slot_bits), slot_bits // 8, 1 << (slot_bits - 1)
    plain = values.tolist() if isinstance(values, np.ndarray) else [int(value) for value in values]
    try:
        digits = [(value + half).to_bytes(width, "little") for value in plain]
    except OverflowError:
        raise OutOfRange(f"A value does not fit a slot of {slot_bits} bits.") from None
    packed = []
    for start in range(0, len(digits), slots):
        part = digits[start : start + slots]
        packed.append(int.from_bytes(b"".join(part), "little") - _offset(len(part), slot_bits))
    return packed


def placed(values: Sequence[int], slot_bits: int, public: PublicKey) -> list[int]:
    """As :func:`pack`, for addends modulo n of what will fit the slots once they are added up: any integers, no check."""
    slots = slots_per_ciphertext(public, slot_bits)
    groups = [values[start : start + slots] for start in range(0, len(values), slots)]
    return [sum(int(value) << slot_bits * slot for slot, value in enumerate(group)) for group in groups]


def pack_encrypted(vector: CipherVector, slot_bits: int) -> CipherVector:
    """What :func:`pack` makes of the plaintexts, modulo n, under encryption: ``slot_bits`` squarings per ciphertext.

    Deterministic: re-randomise before sending.
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
    """The ``count`` signed integers in packed plaintexts (sums of results of :func:`pack`), decrypted and signed.

    Raises :class:`MalformedPacking` if the number of plaintexts does not match or one does not decompose.
    """
    slots = slots_per_ciphertext(public, slot_bits)
    if len(packed) != -(-count // slots):
        raise MalformedPacking(f"{len(packed)} plaintexts for {count} values in slots of {slot_bits} bits.")
    values: list[int] = []
    for value in packed:
        values.extend(slots_of(value, slot_bits, min(slots, count - len(values))))
    return values


def slots_of(value: int, slot_bits: int, held: int) -> list[int]:
    """The ``held`` signed integers in one packed plaintext. Raises :class:`MalformedPacking` if there is more in it."""
    width, half = slot_bits // 8, 1 << (slot_bits - 1)
    try:
        digits = (int(value) + _offset(held, slot_bits)).to_bytes(held * width, "little")
    except OverflowError:
        raise MalformedPacking from None
    return [int.from_bytes(digits[i : i + width], "little") - half for i in range(0, len(digits), width)]
