"""Differential privacy of single training rows: Gaussian noise on a sum of row gradients, and what a run has cost of it.

Noise, composition over rounds and conversion to (epsilon, delta) are OpenDP's: its Gaussian is sampled exactly on a lattice,
without the gaps of floating point (Canonne, Kamath and Steinke, NeurIPS 2020), and rounds add up as zero-concentrated privacy (Bun
and Steinke, TCC 2016). Neighbouring tables differ in one row, whose gradient is there or zero.
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
    """On gradients of ``count`` weights: ``clip`` bounds the L2 norm of every row's, and the noise's standard deviation is
    ``multiplier`` times that."""

    count: int
    clip: float
    multiplier: float
    delta: float

    @classmethod
    def of(cls, privacy: PrivacyTerms, rounds: int, count: int) -> Noise:
        """By the terms; where they give an epsilon, the least noise with which so many rounds keep to it."""

        def made(multiplier: float) -> Noise:
            return cls(count, privacy.clip, multiplier, privacy.delta)

        if privacy.epsilon is None:
            return made(float(privacy.noise or 0.0))
        logarithm = math.log(1 / privacy.delta)
        rho = (math.sqrt(logarithm + privacy.epsilon) - math.sqrt(logarithm)) ** 2  # Bun and Steinke, proposition 1.3: not tight
        low, high = 0.0, 1.01 * math.sqrt(rounds / (2 * rho)) * made(1.0).distance / privacy.clip
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if made(middle).epsilon(rounds) <= privacy.epsilon else (middle, high)
        return made(high)

    @property
    def distance(self) -> float:
        """How far one row moves a sum: by ``clip``, and by a unit of fixed point in every coordinate, because clients round."""
        return self.clip + 2.0**-FRACTION_BITS * math.sqrt(self.count)

    def noisy(self, total: Floats) -> Floats:
        """The sum with noise of standard deviation ``multiplier * clip`` in every coordinate; different at every call."""
        made = self._gaussian(self.clip * self.multiplier)
        return np.array(made(total.tolist()), dtype=np.float64)

    def epsilon(self, rounds: int) -> float:
        """What so many rounds cost together, at ``delta``; 0 for none."""
        import opendp.prelude as dp

        if rounds < 1:
            return 0.0
        each = self._gaussian(self.clip * self.multiplier)
        space = each.input_domain, each.input_metric
        spent = [each.map(self.distance)] * rounds
        whole = dp.c.make_adaptive_composition(*space, output_measure=each.output_measure, d_in=self.distance, d_mids=spent)
        return float(dp.c.make_zCDP_to_approxDP(whole).map(self.distance).epsilon(self.delta))

    @staticmethod
    def _gaussian(scale: float) -> Any:
        import opendp.prelude as dp

        dp.enable_features("contrib")
        space = dp.vector_domain(dp.atom_domain(T=float, nan=False)), dp.l2_distance(T=float)
        return dp.m.make_gaussian(*space, scale=scale)


def spent(terms: Terms, params: Averaged, rounds: int) -> dict[str, float]:
    """Epsilon and delta of a run's finished rounds, as the ledger and the model card say them; nothing without privacy."""
    privacy = terms.task.optional(PrivacyTerms)
    if privacy is None:
        return {}
    count = Training.of(terms.task.section(NetworkTerms), params, len(expanded(terms))).net.count
    noise = Noise.of(privacy, params.rounds, count)
    return {"epsilon": noise.epsilon(rounds), "delta": noise.delta, "noise": noise.multiplier, "clip": noise.clip}
