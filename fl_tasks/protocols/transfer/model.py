"""Models of federated transfer learning."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.fl_tasks.learning.nets.layers import layers_document
from tombolo.fl_tasks.models.family import Labels, Training, VerticalModel
from tombolo.fl_tasks.protocols.transfer import scoring
from tombolo.fl_tasks.protocols.transfer.components import Components
from tombolo.fl_tasks.protocols.transfer.net import PartyNet
from tombolo.fl_tasks.protocols.transfer.part import TransferPart
from tombolo.fl_tasks.protocols.transfer.protocol import TransferTerms
from tombolo.fl_tasks.protocols.transfer.rows import Floats, TransferRows
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.roles import GUEST


def _fit(training: Training, table: pa.Table, train: npt.NDArray[np.bool_]) -> Components:
    terms, party = training.terms, training.party
    most = terms.task.section(TransferTerms).components
    return Components.fit(table, terms.table(party), train, terms.limits, most, party)


def _rows(encoder: Components, x: Floats, labels: Labels | None, common: int) -> TransferRows:
    return TransferRows(x, None if labels is None else labels.y, common)


def _document(session: Session, encoder: Components, state: State) -> dict[str, Any]:
    net = PartyNet.of(session.terms.task.section(TransferTerms), len(encoder.names)).net
    phi = np.asarray(state["phi"], np.float64) if session.role == GUEST else None
    return {"layers": layers_document(net, np.asarray(state["w"])), "phi": phi}


MODEL = VerticalModel(
    TransferPart, Components.from_document, _document, scoring.exchange_scores, scoring.MESSAGES, fit=_fit, rows=_rows
)
