"""The key holder's part that all protocols share: its key pair, and the decryption of masked gradients.

White paper 3.4: the collaborator creates the encryption pair, and the parties send it masked encrypted gradients, which it decrypts
and returns (steps 1, 3 and 4).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto.convolution import Convolution
from tombolo.fl_tasks.crypto.fixedpoint import FEATURE_BITS, check_headroom, decode
from tombolo.fl_tasks.crypto.masks import mask_residues, residues_from_arrow, residues_to_arrow, unmask
from tombolo.fl_tasks.crypto.matvec import transposed_product
from tombolo.fl_tasks.crypto.paillier import PrivateKey, PublicKey, check_size, generate
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt_residues, fresh_zeros
from tombolo.fl_tasks.learning.parameters import Encrypted
from tombolo.fl_tasks.learning.vertical.rows import ROWS_PER_COLUMN, Floats, VerticalRows
from tombolo.fl_tasks.learning.vertical.shares import ScalarTooLarge
from tombolo.fl_tasks.learning.vertical.state import PAILLIER
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError, blame
from tombolo.storage.meters import NUMBERS
from tombolo.storage.schema import Message, PaddedModN, Paillier, Public

RESIDUAL_BITS = 32
"""Fractional bits of logits and residuals."""
RowNumbers = npt.NDArray[np.int64]


_GRADIENT_BITS = 128
"""The most bits of a gradient's integer part. A value that was decrypted or padded wrongly has hundreds of bits."""


class WrongLength(CodedError):
    code = "TMB-TRAIN-003"
    cause = "A peer sent a wrong number of values, or a key of a wrong size."
    remedy = "Install the same version at all parties, and start a new run, which aligns the rows again."


def public_key_message(holder: str, to: tuple[str, ...]) -> Message:
    """The message that tells a key holder's public key."""
    return Message(
        "public_key",
        holder,
        to,
        {"key": Public("binary", "a public key")},
        learns="the run's Paillier public key",
        step="0",
    )


def gradient_messages(holder: str, others: tuple[str, ...]) -> tuple[Message, Message]:
    """Masked gradients to the key holder, and their masked plaintexts back."""
    return (
        Message(
            "masked_gradient",
            others,
            holder,
            {"gradient": Paillier(holder)},
            learns="uniformly random values: each sum is under a one-time pad modulo n",
            step="4",
            limit="pads are never used twice",
            rows=None,
        ),
        Message(
            "unmasked_gradient",
            holder,
            others,
            {"gradient": PaddedModN(holder, NUMBERS)},
            learns="its own gradient, one number per own column",
            step="5",
            limit="at least ten rows per column; rows of high leverage and rare one-hot columns refused",
            rows=None,
        ),
    )


def own_key(session: Session) -> PrivateKey:
    """The holder's key pair of this run: made once, kept privately, the same after a restart."""
    key = session.state.once(PAILLIER, lambda: generate(session.parameters(Encrypted).key_bits, session.shortest_key))
    check_size(key.public.bits, session.shortest_key)
    return key


def peer_key(session: Session, holder: str) -> PublicKey:
    """The holder's public key, checked."""
    sent = session.scalar(session.receive("public_key", holder), "key")
    with blame(holder):
        key = PublicKey.from_bytes(sent, session.shortest_key)
    least = session.parameters(Encrypted).key_bits
    if key.bits < least:
        raise WrongLength(f"A key of {key.bits} bits instead of {least}.", party=holder)
    return key


def vector(session: Session, name: str, column: str, key: PublicKey, count: int, sender: str) -> CipherVector:
    """Receive a message with one column of ciphertexts, validated, of exactly ``count`` values."""
    table = session.receive(name, sender, count)
    with blame(sender):
        ciphertexts = CipherVector.from_arrow(key, session.values(table, column))
    if len(ciphertexts) != count:
        raise WrongLength(f"Column {column}: {len(ciphertexts)} instead of {count}.", party=sender)
    return ciphertexts


class MaskedGradient:
    """One round's gradient X^T d in the clear for this party alone: steps 4 to 6 with a remote key holder.

    The mask is uniform modulo n, the same in a replay, and used once. With ``packing``, a ciphertext holds several residuals; the
    key holder must use it too.
    """

    def __init__(self, session: Session, key: PublicKey, holder: str, columns: int, packing: Convolution | None = None) -> None:
        """Prepares the rerandomisation of the sums. Construct it before waiting for the residual, so that no time is lost."""
        self._session, self._key, self._holder, self._packing = session, key, holder, packing
        self._masks: list[int] = []
        self._fresh = fresh_zeros(key, columns, session.pool)

    def send(self, data: VerticalRows, residual: CipherVector, rows: RowNumbers | None = None) -> None:
        """[[X^T d + R]] over all rows or a batch of them."""
        x = data.fixed if rows is None else data.fixed[rows]
        stream = self._session.prf("gradient").stream(self._key.key_id)
        if self._packing is not None:
            sums = self._packing.product(x, residual, self._session.pool)
            self._masks = self._packing.masks(len(sums), stream)
        else:
            check_headroom(self._key, scale_bits=FEATURE_BITS + RESIDUAL_BITS, bound=2.0**40, terms=len(residual))
            sums = transposed_product(x, residual, self._session.pool)
            self._masks = mask_residues(self._key, len(sums), stream)
        masked = sums.add_plain(self._masks).rerandomise_full(self._fresh)
        self._session.send("masked_gradient", self._holder, gradient=masked.to_arrow())

    def receive(self) -> Floats:
        """The sums, shape (columns,), as floats."""
        table = self._session.receive("unmasked_gradient", self._holder, len(self._masks))
        with blame(self._holder):
            returned = residues_from_arrow(self._key, self._session.values(table, "gradient"))
        if len(returned) != len(self._masks):
            raise WrongLength(f"{len(returned)} gradient values instead of {len(self._masks)}.", party=self._holder)
        packing = self._packing
        with blame(self._holder):
            sums = unmask(self._key, returned, self._masks) if packing is None else packing.unmask(returned, self._masks)
        if any(abs(value) >> (FEATURE_BITS + RESIDUAL_BITS + _GRADIENT_BITS) for value in sums):
            raise ScalarTooLarge("A gradient.", party=self._holder)
        return decode(sums, FEATURE_BITS + RESIDUAL_BITS)


def most_columns(session: Session, rows: int) -> dict[str, int]:
    """The most columns of each data party for a gradient over ``rows`` rows: with more, a party could compute the residuals."""
    return dict.fromkeys(session.data_parties, rows // ROWS_PER_COLUMN)


def serve_gradients(session: Session, key: PrivateKey, most: Mapping[str, int], packing: Convolution | None = None) -> None:
    """The key holder's steps 4 and 5: decrypt each masked gradient when it arrives, and return it to its party (of packed sums, the
    middle). ``most`` names the parties, and how many numbers each may have decrypted."""
    for party, columns in most.items():
        table = session.receive("masked_gradient", party, columns)
        with blame(party):
            masked = CipherVector.from_arrow(key.public, session.values(table, "gradient"))
        residues = decrypt_residues(key, masked)
        if packing is not None:
            residues = packing.middle(residues)
        session.send("unmasked_gradient", party, gradient=residues_to_arrow(key.public, residues))
