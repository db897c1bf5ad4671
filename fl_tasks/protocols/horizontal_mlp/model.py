"""The model of a joint network: its layers and the common encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.horizontal.regression import common
from tombolo.fl_tasks.learning.horizontal.statistics import statistics_of
from tombolo.fl_tasks.learning.nets.dense import Dense
from tombolo.fl_tasks.learning.nets.layers import layers_document, read_layers
from tombolo.fl_tasks.learning.nets.training import Training
from tombolo.fl_tasks.learning.parameters import Averaged
from tombolo.fl_tasks.learning.terms import NetworkTerms
from tombolo.fl_tasks.models.family import HorizontalModel
from tombolo.fl_tasks.models.part import ModelPart, UnfitPart
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.tables.encoding import Encoder
from tombolo.storage.schema import MessageSet

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class NetworkPart(ModelPart):
    """The network ``net`` with its weights ``w``. A predicted number is the output times ``label_scale``, plus ``label_mean``."""

    encoder: Encoder
    net: Dense
    w: Floats
    label_mean: float
    label_scale: float

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Read a part from its document. Raises UnfitPart."""
        encoder = Encoder.from_document(document["encoder"])
        net, w = read_layers(document["layers"], len(encoder.names), document["activation"])
        label = float(document["label_mean"]), float(document["label_scale"])
        if list(encoder.names) != document["names"] or not np.isfinite(label).all():
            raise UnfitPart("The layers do not fit the encoded columns, or a number is not finite.")
        return cls(encoder=encoder, net=net, w=w, label_mean=label[0], label_scale=label[1], **cls._common(document))

    def totals(self, x: Floats, batch: int = 65_536) -> Floats:
        """The score of each encoded row: a number or a logit, shape (n,), or a logit per class, shape (n, classes)."""
        pieces = [self.net.outputs(self.w, x[start : start + batch]) for start in range(0, max(len(x), 1), batch)]
        outputs = np.concatenate(pieces) * self.label_scale + self.label_mean
        return outputs if self.net.sizes[-1] > 1 else outputs[:, 0]


def _document(session: Session, encoder: Encoder, state: State) -> dict[str, Any]:
    """The whole network, the same at every client."""
    network, statistics = session.terms.task.section(NetworkTerms), statistics_of(session.state)
    training = Training.of(network, session.parameters(Averaged), len(encoder.names))
    layers = layers_document(training.net, np.asarray(state["w"]))
    label = {"label_mean": statistics.label_mean, "label_scale": statistics.label_scale}
    return {"layers": layers, "activation": network.activation, **label}


def _totals(session: Session, part: NetworkPart, x: Floats, recipients: Iterable[str]) -> Floats:
    return part.totals(x)


MODEL = HorizontalModel(
    NetworkPart, Encoder.from_document, _document, _totals, MessageSet("none"), common=common, score=NetworkPart.totals
)
