"""The rows of one party in federated transfer learning, and the check that there are enough common rows."""

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
    cause = "There are too few labelled common rows for the net. Gradients of so many weights would show single rows."
    remedy = "Align more rows, raise labelled_rows, or make an agreement with smaller task.transfer.components or hidden."


@dataclass(frozen=True)
class TransferRows:
    """Training rows, common ones first in the agreed order: inputs ``x`` (rows, inputs), labels ``y`` (rows,) at the source."""

    x: Floats
    y: Floats | None
    common: int


def labelled_of(params: TransferParameters, common: int) -> int:
    """How many of the common training rows, counted from the first, are used with their labels."""
    given = params.labelled_rows
    return common if given is None else min(int(given), common)


def guard_rows(session: Session, party_net: PartyNet, labelled: int) -> None:
    """Check that there are enough labelled rows for the net. Raises :class:`TooFewForNet`.

    A gradient gives one equation per weight, with ``width`` unknown numbers for every labelled row.
    ``limits.minimum_numbers_per_weight`` says how many unknowns there must be per equation (docs/protocols/transfer.md).
    """
    least, unknown, equations = session.terms.limits.minimum_numbers_per_weight, labelled * party_net.width, party_net.net.count
    if unknown < least * equations:
        raise TooFewForNet(
            f"{labelled} labelled rows give {unknown} numbers for {equations} weights; {least} numbers per weight are needed.",
            party=session.me,
        )


def most_sums(session: Session, width: int, labelled: int) -> int:
    """The most sums over rows that a peer may have decrypted in a round: the most weights that its own check allows."""
    return labelled * width // session.terms.limits.minimum_numbers_per_weight
