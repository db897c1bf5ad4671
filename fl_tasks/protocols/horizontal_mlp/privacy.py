"""Differential privacy of single training rows: Gaussian noise on a sum of row gradients, and the epsilon that a run has spent.

OpenDP computes the noise, the composition over rounds and the conversion to (epsilon, delta). It samples the Gaussian exactly on a
lattice, without the gaps of floating point (Canonne, Kamath and Steinke, NeurIPS 2020), and adds up rounds as zero-concentrated
privacy (Bun and Steinke, TCC 2016). Two tables are neighbours if they differ in one row: its gradient is in the sum, or is zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tombolo.agreements.terms import Terms
from tombolo.fl_tasks.learning.horizontal.columns import Floats, expanded
from tombolo.fl_tasks.learning.horizontal.secagg.masking import FRACTION_BITS
from tombolo.fl_tasks.learning.nets.training import Training
from tombolo.fl_tasks.learning.parameters import Averaged
from tombolo.fl_tasks.learning.terms import NetworkTerms, PrivacyTerms

_HALVINGS = 30


@dataclass(frozen=True)
class Noise:
    """The noise on gradients of ``count`` weights: ``clip`` bounds the L2 norm of the gradient of each row, and the standard
    deviation of the noise is ``multiplier * clip``."""

    count: int
    clip: float
    multiplier: float
    delta: float

    @classmethod
    def of(cls, privacy: PrivacyTerms, rounds: int, count: int) -> Noise:
        """The noise of the terms. If they give an epsilon: the least noise with which ``rounds`` rounds stay within it."""

        def with_multiplier(multiplier: float) -> Noise:
            return cls(count, privacy.clip, multiplier, privacy.delta)

        if privacy.epsilon is None:
            return with_multiplier(float(privacy.noise or 0.0))
        logarithm = math.log(1 / privacy.delta)
        rho = (math.sqrt(logarithm + privacy.epsilon) - math.sqrt(logarithm)) ** 2  # Bun and Steinke, proposition 1.3: not tight
        low, high = 0.0, 1.01 * math.sqrt(rounds / (2 * rho)) * with_multiplier(1.0).distance / privacy.clip
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if with_multiplier(middle).epsilon(rounds) <= privacy.epsilon else (middle, high)
        return with_multiplier(high)

    @property
    def distance(self) -> float:
        """How far one row can move a sum: by ``clip``, plus one fixed-point unit in every coordinate, because clients round."""
        return self.clip + 2.0**-FRACTION_BITS * math.sqrt(self.count)

    def noisy(self, total: Floats) -> Floats:
        """The sum with noise of standard deviation ``multiplier * clip`` in every coordinate; different at every call."""
        mechanism = self._gaussian(self.clip * self.multiplier)
        return np.array(mechanism(total.tolist()), dtype=np.float64)

    def epsilon(self, rounds: int) -> float:
        """The epsilon that so many rounds spend together, at ``delta``; 0 for no round."""
        import opendp.prelude as dp

        if rounds < 1:
            return 0.0
        mechanism = self._gaussian(self.clip * self.multiplier)
        space = mechanism.input_domain, mechanism.input_metric
        spent = [mechanism.map(self.distance)] * rounds
        whole = dp.c.make_adaptive_composition(*space, output_measure=mechanism.output_measure, d_in=self.distance, d_mids=spent)
        return float(dp.c.make_zCDP_to_approxDP(whole).map(self.distance).epsilon(self.delta))

    @staticmethod
    def _gaussian(scale: float) -> Any:
        import opendp.prelude as dp

        dp.enable_features("contrib")
        space = dp.vector_domain(dp.atom_domain(T=float, nan=False)), dp.l2_distance(T=float)
        return dp.m.make_gaussian(*space, scale=scale)


def spent(terms: Terms, params: Averaged, rounds: int) -> dict[str, float]:
    """Epsilon and delta of the finished rounds of a run, for the ledger and the model card; empty without ``task.privacy``."""
    privacy = terms.task.optional(PrivacyTerms)
    if privacy is None:
        return {}
    count = Training.of(terms.task.section(NetworkTerms), params, len(expanded(terms))).net.count
    noise = Noise.of(privacy, params.rounds, count)
    return {"epsilon": noise.epsilon(rounds), "delta": noise.delta, "noise": noise.multiplier, "clip": noise.clip}
