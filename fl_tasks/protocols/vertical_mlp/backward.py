"""Steps 4 to 6, backward through the encrypted layer: the host has the derivatives of the rows as ciphertexts only.

Let delta be the derivatives of the mean loss of the batch by the sums, times the step size. Then the gradient of the host for input
p and unit j is

    sum_i x_ip f'(a_ij) sum_l delta_il W_jl = sum_i c_ipj (delta W_hat^T)_ij + sum_l E_jl sum_i c_ipj delta_il

The guest encrypts delta W_hat^T and delta. The host sends the result to the guest under a pad, and the guest returns it decrypted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.crypto.fixedpoint import encode_features
from tombolo.fl_tasks.crypto.masks import mask_residues, residues_from_arrow, residues_to_arrow, unmask
from tombolo.fl_tasks.crypto.matvec import transposed_product
from tombolo.fl_tasks.crypto.packing import pack_encrypted, slots_per_ciphertext, unpack
from tombolo.fl_tasks.crypto.paillier import PrivateKey, PublicKey
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt, decrypt_residues, encrypt
from tombolo.fl_tasks.learning.vertical.key_holder import WrongLength, vector
from tombolo.fl_tasks.protocols.vertical_mlp.grid import (
    GRADIENT_SLOT,
    INPUT_BITS,
    LARGEST_SLOPES,
    MOVE_SLOT,
    SLOPE_BITS,
    WEIGHT_BITS,
    Floats,
    Grid,
    encoded,
    noise,
)
from tombolo.fl_tasks.protocols.vertical_mlp.messages import TooLarge
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import blame


def check_slopes(session: Session, delta: Floats) -> None:
    """At the guest: check ``delta`` (rows, sums). Raises :class:`TooLarge`."""
    if not np.abs(delta).sum(axis=0).max(initial=0.0) <= LARGEST_SLOPES:
        raise TooLarge(party=session.me)


def send_slopes(session: Session, key: PublicKey, host: str, delta: Floats, share: Grid) -> None:
    """Step 4, at the guest: send ``delta`` (rows, sums) encrypted to one host. Raises :class:`TooLarge`."""
    check_slopes(session, delta)
    plain = encoded(delta, SLOPE_BITS)
    session.send("slopes", host, delta=encrypt(key, plain.ravel(order="F").tolist(), session.pool).to_arrow())
    through = plain @ share.T
    session.send("unit_slopes", host, delta=encrypt(key, through.ravel(order="F").tolist(), session.pool).to_arrow())


def receive_step(session: Session, key: PrivateKey, host: str, shape: tuple[int, ...]) -> Grid:
    """Step 5, at the guest: receive the step of W with the noise of the host; the guest moves its share by it."""
    public, count = key.public, int(np.prod(shape))
    held = -(-count // slots_per_ciphertext(public, MOVE_SLOT))
    packed = vector(session, "noisy_step", "step", public, held, host)
    with blame(host):
        step = unpack(decrypt(key, packed), MOVE_SLOT, count, public)
    return np.array(step, dtype=object).reshape(shape)


def serve_gradient(session: Session, key: PrivateKey, host: str, most: int) -> None:
    """Step 6, at the guest: decrypt the padded gradient of a host, of at most ``most`` weights. Raises TooManyRows."""
    table = session.receive("masked_gradient", host, -(-most // slots_per_ciphertext(key.public, GRADIENT_SLOT)))
    with blame(host):
        masked = CipherVector.from_arrow(key.public, session.values(table, "gradient"))
    session.send("unmasked_gradient", host, gradient=residues_to_arrow(key.public, decrypt_residues(key, masked)))


class Slopes:
    """The side of a host in steps 5 and 6, for one batch."""

    def __init__(self, session: Session, key: PublicKey, rows: int, units: int, sums: int, batch: int) -> None:
        self._session, self._key, self._batch = session, key, batch
        self._shape = units, sums
        slopes = vector(session, "slopes", "delta", key, rows * sums, session.guest)
        through = vector(session, "unit_slopes", "delta", key, rows * units, session.guest)
        self._slopes = [slopes[at : at + rows] for at in range(0, len(slopes), rows)]
        self._through = [through[at : at + rows] for at in range(0, len(through), rows)]

    def send_step(self, alpha: Grid) -> Grid:
        """Step 5: send [[alpha^T delta + noise]] to the guest. Returns the noise, shape (units, sums)."""
        session, key = self._session, self._key
        drawn = noise(session.prf("noise", self._batch).stream(key.key_id), self._shape)
        units = alpha.astype(np.int64)
        by_sum = [transposed_product(units, column, session.pool) for column in self._slopes]
        steps = CipherVector.concatenate(by_sum).add_plain(drawn.ravel(order="F").tolist())
        ordered = steps.take(np.arange(len(steps)).reshape(self._shape, order="F").ravel())
        packed = pack_encrypted(ordered, MOVE_SLOT).rerandomise_full(pool=session.pool)
        session.send("noisy_step", session.guest, step=packed.to_arrow())
        return drawn

    def gradient(self, x: Floats, bends: Floats, share: Grid) -> Floats:
        """Steps 5 and 6: the gradient of this host times the step size, shape (inputs + 1, units), biases last.

        ``x`` has shape (rows, inputs). ``bends`` (rows, units) are the derivatives of the units by their sums.
        """
        session, key = self._session, self._key
        inputs = np.column_stack([x, np.ones(len(x))])
        by_unit = [
            self._column(encode_features(inputs * bend[:, None], INPUT_BITS), unit, share) for unit, bend in enumerate(bends.T)
        ]
        count = sum(len(column) for column in by_unit)
        packed = pack_encrypted(CipherVector.concatenate(by_unit), GRADIENT_SLOT)
        masks = mask_residues(key, len(packed), session.prf("gradient", self._batch).stream(key.key_id))
        masked = packed.add_plain(masks).rerandomise_full(pool=session.pool)
        session.send("masked_gradient", session.guest, gradient=masked.to_arrow())
        table = session.receive("unmasked_gradient", session.guest, len(masks))
        with blame(session.guest):
            residues = residues_from_arrow(key, session.values(table, "gradient"))
            if len(residues) != len(masks):
                raise WrongLength(f"{len(residues)} ciphertexts of the gradient came back instead of {len(masks)}.")
            sums = unpack(unmask(key, residues, masks), GRADIENT_SLOT, count, key)
        scale = 1 << (INPUT_BITS + SLOPE_BITS + WEIGHT_BITS)
        return np.array([value / scale for value in sums]).reshape(self._shape[0], -1).T

    def _column(self, coefficients: npt.NDArray[np.int64], unit: int, share: Grid) -> CipherVector:
        """[[gradient]] of the weights of one unit."""
        pool = self._session.pool
        total = transposed_product(coefficients, self._through[unit], pool)
        for weight, column in zip(share[unit].tolist(), self._slopes, strict=True):
            product = transposed_product(coefficients, column, pool)
            total = total + product.times([weight] * len(product), pool)
        return total
