"""Steps 1 to 3, forward through the encrypted layer: the guest learns alpha W per row, and nothing else about alpha or W.

Many rows of one unit share a ciphertext. The products with the share of the guest of W are far too large for a slot, and so are the
products with the share of the host. But modulo n the sum of both is the packed product with W itself, and that fits.
"""

from __future__ import annotations

import numpy as np

from tombolo.fl_tasks.crypto.masks import mask_residues, residues_from_arrow, residues_to_arrow, unmask
from tombolo.fl_tasks.crypto.packing import pack, placed, slots_per_ciphertext, unpack
from tombolo.fl_tasks.crypto.paillier import PrivateKey, PublicKey
from tombolo.fl_tasks.crypto.pool import Pool
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt_residues, encrypt
from tombolo.fl_tasks.learning.vertical.key_holder import WrongLength, vector
from tombolo.fl_tasks.protocols.vertical_mlp.grid import (
    ACTIVATION_BITS,
    LARGEST_ACTIVATION,
    SUM_SLOT,
    WEIGHT_BITS,
    Floats,
    Grid,
    encoded,
)
from tombolo.fl_tasks.protocols.vertical_mlp.messages import TooLarge
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import blame

LARGEST_SUM = 2.0**40


def check_units(session: Session, units: Floats) -> None:
    """At a host: check ``units`` (rows, units). Raises :class:`TooLarge`."""
    if not np.abs(units).max(initial=0.0) <= LARGEST_ACTIVATION:
        raise TooLarge(party=session.me)


def on_grid(session: Session, units: Floats) -> Grid:
    """The units of a host rounded to their grid, shape (rows, units). Raises :class:`TooLarge`."""
    check_units(session, units)
    return encoded(units, ACTIVATION_BITS)


def send_units(session: Session, key: PublicKey, alpha: Grid) -> None:
    """Step 1, at the host: send the units one after the other, with many rows packed in a ciphertext."""
    packed = [plain for column in alpha.T for plain in pack(column.tolist(), SUM_SLOT, key)]
    session.send("units", session.guest, alpha=encrypt(key, packed, session.pool).to_arrow())


def send_sums(session: Session, key: PrivateKey, alpha: Grid, share: Grid) -> None:
    """Step 3, at the host: decrypt the sums of the guest, add the products with the share of the host of W, and send them back."""
    public, own = key.public, alpha @ share
    addends = [plain for column in own.T for plain in placed(column.tolist(), SUM_SLOT, public)]
    masked = decrypt_residues(key, vector(session, "masked_sums", "sums", public, len(addends), session.guest))
    n = int(public.n)
    session.send("sums", sums=residues_to_arrow(public, [(a + b) % n for a, b in zip(masked, addends, strict=True)]))


class Sums:
    """The side of the guest in steps 2 and 3, with one host and for one batch."""

    def __init__(self, session: Session, host: str, key: PublicKey, rows: int, batch: int) -> None:
        self._session, self._host, self._key, self._rows = session, host, key, rows
        self._batch = batch
        self._masks: list[int] = []

    def ask(self, share: Grid) -> None:
        """Step 2: send [[alpha W_hat + N]] to the host, where N are masks."""
        session, key, per_unit = self._session, self._key, -(-self._rows // slots_per_ciphertext(self._key, SUM_SLOT))
        units, sums = share.shape
        alpha = vector(session, "units", "alpha", key, units * per_unit, self._host)
        products = combined(alpha, share, per_unit, session.pool)
        self._masks = mask_residues(key, len(products), session.prf("sums", self._host, self._batch).stream(key.key_id))
        masked = products.add_plain(self._masks).rerandomise_full(pool=session.pool)
        session.send("masked_sums", self._host, sums=masked.to_arrow())

    def hear(self, sums: int) -> Floats:
        """Step 3: receive alpha W, shape (rows, sums). Raises :class:`TooLarge` and WrongLength."""
        session, key = self._session, self._key
        table = session.receive("sums", self._host, len(self._masks))
        with blame(self._host):
            residues = residues_from_arrow(key, session.values(table, "sums"))
            if len(residues) != len(self._masks):
                raise WrongLength(f"{len(residues)} values came instead of {len(self._masks)}.")
            plain, per_sum = unmask(key, residues, self._masks), len(residues) // sums
            columns = [unpack(plain[at : at + per_sum], SUM_SLOT, self._rows, key) for at in range(0, len(plain), per_sum)]
        product = np.array(columns, dtype=object).T / 2.0 ** (ACTIVATION_BITS + WEIGHT_BITS)
        if not np.abs(product).max(initial=0.0) <= LARGEST_SUM:
            raise TooLarge(party=self._host)
        return product.astype(np.float64)


def combined(alpha: CipherVector, share: Grid, per_unit: int, pool: Pool) -> CipherVector:
    """The product of the units with a share of W: ``per_unit`` ciphertexts for each column of the share."""
    columns = []
    for weights in share.T:
        products = alpha.times([int(weight) for weight in np.repeat(weights, per_unit)], pool)
        total = products[:per_unit]
        for at in range(per_unit, len(products), per_unit):
            total = total + products[at : at + per_unit]
        columns.append(total)
    return CipherVector.concatenate(columns)
