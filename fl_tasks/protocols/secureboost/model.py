"""Models of SecureBoost: every party has the records of its own splits; the guest also has the trees."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.fl_tasks.learning.parameters import Boosted
from tombolo.fl_tasks.learning.trees.bins import Binner, Codes
from tombolo.fl_tasks.learning.trees.part import TreePart
from tombolo.fl_tasks.learning.trees.records import kept
from tombolo.fl_tasks.learning.trees.state import RECORDS, TREES
from tombolo.fl_tasks.models.family import Labels, Training, VerticalModel
from tombolo.fl_tasks.protocols.secureboost import scoring
from tombolo.fl_tasks.protocols.secureboost.messages import BinnedRows
from tombolo.fl_tasks.protocols.secureboost.state import NAMES
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.roles import GUEST


def _fit(training: Training, table: pa.Table, train: npt.NDArray[np.bool_]) -> Binner:
    terms, params = training.terms, training.params
    assert isinstance(params, Boosted)
    return Binner.fit(table, terms.table(training.party), train, terms.limits, params.bins, training.party)


def _rows(binner: Binner, codes: Codes, labels: Labels | None, common: int) -> BinnedRows:
    given = (None, None) if labels is None else (labels.y, labels.w)
    return BinnedRows(codes, binner.sizes, np.array(binner.missing), binner.names, *given)


def _document(session: Session, binner: Binner, state: State) -> dict[str, Any]:
    """The records of the rounds that the model keeps; at the guest also the trees, and the names of the columns of hosts."""
    rounds, params = int(state["kept"]), session.parameters(Boosted)
    document = {"records": kept(session, RECORDS, rounds), "depth": params.depth, "rounds": rounds}
    if session.role != GUEST:
        return document
    return {
        **document,
        "trees": kept(session, TREES, rounds),
        "base": [float(margin) for margin in state["base"]],
        "parties": [session.me, *session.hosts],
        "host_names": session.state.get(NAMES) or {},
        "validation_loss": [float(loss) for loss in state["validation"]],
    }


MODEL = VerticalModel(TreePart, Binner.from_document, _document, scoring.exchange_scores, scoring.MESSAGES, fit=_fit, rows=_rows)
