"""The part of a party in a transfer model: the feature net, the encoder of its inputs, and at the source Phi."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.nets.layers import read_layers
from tombolo.fl_tasks.models.part import ModelPart, UnfitPart
from tombolo.fl_tasks.protocols.transfer.components import Components
from tombolo.fl_tasks.protocols.transfer.net import PartyNet

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TransferPart(ModelPart):
    """The net ``party_net`` with its weights ``w``. ``phi`` has shape (width,) at the source, and is None at the target."""

    encoder: Components
    party_net: PartyNet
    w: Floats
    phi: Floats | None

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Read a part from its document. Raises UnfitPart."""
        encoder = Components.from_document(document["encoder"])
        net, w = read_layers(document["layers"], len(encoder.names), "tanh")
        phi = None if document["phi"] is None else np.asarray(document["phi"], np.float64)
        if list(encoder.names) != document["names"] or (phi is not None and phi.shape != net.sizes[-1:]):
            raise UnfitPart("The layers do not fit the encoded columns or Phi.")
        if phi is not None and not np.isfinite(phi).all():
            raise UnfitPart("Phi is not finite.")
        return cls(encoder=encoder, party_net=PartyNet(net), w=w, phi=phi, **cls._common(document))

    def features(self, x: Floats) -> Floats:
        """The features of each encoded row, shape (rows, width)."""
        return self.party_net.features(self.w, x)
