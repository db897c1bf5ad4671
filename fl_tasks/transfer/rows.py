"""One party's rows in federated transfer learning, and the guard against too few common ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fl_tasks.session import Session
from fl_tasks.transfer.tower import Tower
from storage.errors import CodedError

Floats = npt.NDArray[np.float64]
_TIMES = 5


class TooFewForNet(CodedError):
    code = "TMB-TRANSFER-001"
    cause = "The common rows are too few for the net: gradients of so many weights would give single rows away."
    remedy = "Align more rows, or agree on fewer task.transfer.components or hidden units."


@dataclass(frozen=True)
class Rows:
    """Training rows, common ones first in the agreed order: inputs ``x`` (rows, inputs), labels ``y`` (rows,) at the source."""

    x: Floats
    y: Floats | None
    common: int


def labelled_of(params: Mapping[str, Any], common: int) -> int:
    """How many of the common training rows, the first ones, are learnt from by their labels."""
    given = params["labelled_rows"]
    return common if given is None else min(int(given), common)


def guard_rows(session: Session, tower: Tower, common: int) -> None:
    """A gradient is one equation per weight about ``width`` unknown numbers of every row: five times as many unknowns are asked for
    (docs/protocols/transfer.md).

    Raises :class:`TooFewForNet`.
    """
    unknown, equations = common * tower.width, tower.net.count
    if unknown < _TIMES * equations:
        raise TooFewForNet(f"{common} common rows give {unknown} numbers for {equations} weights.", party=session.me)
