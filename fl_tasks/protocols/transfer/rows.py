"""One party's rows in federated transfer learning, and the guard against too few common ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.protocols.transfer.net import PartyNet
from tombolo.fl_tasks.protocols.transfer.protocol import TransferParameters
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError

Floats = npt.NDArray[np.float64]


class TooFewForNet(CodedError):
    code = "TMB-TRANSFER-001"
    cause = "The labelled common rows are too few for the net: gradients of so many weights would give single rows away."
    remedy = "Align more rows, learn from more of their labels, or agree on fewer task.transfer.components or hidden units."


@dataclass(frozen=True)
class TransferRows:
    """Training rows, common ones first in the agreed order: inputs ``x`` (rows, inputs), labels ``y`` (rows,) at the source."""

    x: Floats
    y: Floats | None
    common: int


def labelled_of(params: TransferParameters, common: int) -> int:
    """How many of the common training rows, the first ones, are learnt from by their labels."""
    given = params.labelled_rows
    return common if given is None else min(int(given), common)


def guard_rows(session: Session, tower: PartyNet, labelled: int) -> None:
    """A gradient is one equation per weight about ``width`` unknown numbers of every labelled row.

    ``limits.minimum_numbers_per_weight`` says how many unknowns there must be to an equation (docs/protocols/transfer.md).

    Raises :class:`TooFewForNet`.
    """
    least, unknown, equations = session.terms.limits.minimum_numbers_per_weight, labelled * tower.width, tower.net.count
    if unknown < least * equations:
        raise TooFewForNet(
            f"{labelled} labelled rows give {unknown} numbers for {equations} weights, {least} to each are needed.",
            party=session.me,
        )


def most_sums(session: Session, width: int, labelled: int) -> int:
    """How many sums over rows a peer may have decrypted in a round: as many as a net that its own guard lets pass has weights."""
    return labelled * width // session.terms.limits.minimum_numbers_per_weight
