"""Boosting rounds as the label holder sees them: margins, derivatives, which rows and columns a round uses, and when to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.learning.parameters import Boosted, Sampled
from tombolo.fl_tasks.learning.terms import BoostingTerms
from tombolo.fl_tasks.learning.trees.bins import Codes
from tombolo.fl_tasks.learning.trees.growing import Derivatives, Growth, Local, RowNumbers, grow
from tombolo.fl_tasks.learning.trees.objectives import OBJECTIVES, Floats, Objective, quantised
from tombolo.fl_tasks.learning.trees.splits import Rules
from tombolo.fl_tasks.learning.trees.tree import Bools, SplitRecord, Tree
from tombolo.fl_tasks.runtime.session import Session

_FLAT = 1e-12


@dataclass(frozen=True)
class Plan:
    """What all parties agree on: the objective and its outputs, growth, precision, sampling, and early stopping."""

    objective: Objective
    outputs: int
    depth: int
    rate: float
    penalty: float
    gamma: float
    child_weight: float
    leaf_rows: int
    bits: int
    subsample: float
    colsample: float
    goss_top: float
    goss_other: float
    patience: int | None
    validation: float

    @classmethod
    def of(cls, objective: str, classes: int, params: Boosted, leaf_rows: int) -> Plan:
        """The plan of a run's parameters under the terms."""
        sampled = params if isinstance(params, Sampled) else None
        goss = sampled.goss_top if sampled else 0.0
        return cls(
            objective=OBJECTIVES[objective],
            outputs=classes if objective == "softmax" else 1,
            depth=params.depth,
            rate=params.learning_rate,
            penalty=params.leaf_penalty,
            gamma=params.gamma,
            child_weight=params.min_child_weight,
            leaf_rows=leaf_rows,
            bits=params.gradient_bits,
            subsample=sampled.subsample if sampled else 1.0,
            colsample=sampled.colsample if sampled else 1.0,
            goss_top=goss,
            goss_other=sampled.goss_other if sampled and goss else 0.0,
            patience=params.patience,
            validation=0.0 if params.patience is None else params.validation_fraction,
        )

    def growth(self, heaviest: float) -> Growth:
        """How trees grow; ``heaviest`` is the largest row weight.

        A leaf must hold the agreed number of rows. As h has a largest value, a least sum of h ensures it, as in XGBoost.
        """
        amplified = heaviest * (1 - self.goss_top) / self.goss_other if self.goss_other else heaviest
        least = max(self.child_weight, self.leaf_rows * self.objective.curvature * amplified)
        return Growth(self.depth, self.rate, Rules(self.penalty, self.gamma, least))

    def learning_rows(self, rows: int, common: Prf) -> Bools:
        """Which training rows are learnt from; the others are kept for early stopping. The same at all parties."""
        keep = np.ones(rows, dtype=np.bool_)
        keep[common.stream("validation").permutation(rows)[: round(self.validation * rows)]] = False
        return keep

    def sampled_rows(self, learning: Bools, common: Prf) -> RowNumbers:
        """The rows of one round, ascending; the same at all parties."""
        rows = np.flatnonzero(learning)
        if self.subsample >= 1:
            return rows
        kept = common.stream("rows").permutation(len(rows))[: max(1, round(self.subsample * len(rows)))]
        return np.sort(rows[kept])

    def sampled_columns(self, party: str, columns: int, common: Prf) -> RowNumbers:
        """The columns of one party in one round, ascending; the same at all parties."""
        if self.colsample >= 1:
            return np.arange(columns)
        kept = common.stream("columns", party).permutation(columns)[: max(1, round(self.colsample * columns))]
        return np.sort(kept)


def plan_of(session: Session) -> Plan:
    """What the terms and the run's parameters say about growing trees."""
    boosting, limits = session.terms.task.section(BoostingTerms), session.terms.limits
    return Plan.of(boosting.objective, boosting.classes, session.parameters(Boosted), limits.minimum_leaf_rows)


class Boosting:
    """The label holder's state: labels, weights and margins of all training rows, and losses by round."""

    def __init__(self, plan: Plan, labels: Floats, weights: Floats, learning: Bools) -> None:
        self.plan, self.labels, self.weights, self.learning = plan, labels, weights, learning
        self.base = plan.objective.base(labels[learning], weights[learning], plan.outputs)
        self.margins = np.tile(self.base, (len(labels), 1))
        self.loss: list[float] = []
        self.validation: list[float] = []
        self.growth = plan.growth(float(weights.max()))

    def derivatives(self, used: RowNumbers, other: Prf) -> tuple[list[Derivatives], RowNumbers]:
        """Integer derivatives of every output, and the rows that count: ``used``, or those of them that GOSS keeps.

        GOSS (Ke et al. 2017) keeps the rows with the largest gradients, and a part of the others with more weight. It is not exact.
        """
        g, h = self.plan.objective.derivatives(self.margins, self.labels)
        scale = self.weights[:, None]
        if self.plan.goss_top:
            used, amplified = self._largest(np.abs(g * scale).sum(axis=1), used, other)
            scale = scale * amplified[:, None]
        counting = np.zeros((len(g), 1))
        counting[used] = 1.0
        g, h = g * scale * counting, h * scale * counting
        derivatives = []
        for output in range(self.plan.outputs):
            (whole_g, unit_g), (whole_h, unit_h) = (quantised(values[:, output], self.plan.bits) for values in (g, h))
            derivatives.append(Derivatives(whole_g, whole_h, (unit_g, unit_h)))
        return derivatives, used

    def _largest(self, size: Floats, used: RowNumbers, other: Prf) -> tuple[RowNumbers, Floats]:
        plan = self.plan
        order = used[np.argsort(-size[used], kind="stable")]
        top = round(plan.goss_top * len(used))
        rest = order[top:][other.stream("goss").permutation(len(order) - top)[: round(plan.goss_other * len(used))]]
        amplified = np.ones(len(size))
        amplified[rest] = (1 - plan.goss_top) / plan.goss_other
        return np.sort(np.concatenate([order[:top], rest])), amplified

    def add(self, trees: Sequence[Tree], places: Sequence[RowNumbers]) -> bool:
        """Add the trees of a round; returns whether training is over."""
        for tree, at in zip(trees, places, strict=True):
            self.margins[:, tree.output] += np.asarray(tree.value)[at]
        self.loss.append(self._loss(self.learning))
        if self.plan.patience is not None:
            self.validation.append(self._loss(~self.learning))
            best = int(np.argmin(self.validation))
            return len(self.validation) - 1 - best >= self.plan.patience
        return all(len(tree.party) == 1 and abs(tree.value[0]) < _FLAT for tree in trees)

    @property
    def best_rounds(self) -> int:
        """How many rounds the model keeps."""
        return len(self.loss) if self.plan.patience is None else int(np.argmin(self.validation)) + 1

    def _loss(self, rows: Bools) -> float:
        return self.plan.objective.loss(self.margins[rows], self.labels[rows], self.weights[rows])


@dataclass(frozen=True)
class Pooled:
    """A model trained with all columns in one place: trees, records by party, and the losses."""

    trees: list[Tree]
    base: Floats
    records: list[list[SplitRecord]]
    loss: list[float]
    margins: Floats


def train_pooled(
    plan: Plan, rounds: int, codes: Sequence[Codes], labels: Floats, weights: Floats | None = None, common: Prf | None = None
) -> Pooled:
    """Grow the same trees as a federation, with all columns in one place; ``codes`` by party, the guest first."""
    common = common or Prf(bytes(16))
    weights = np.ones(len(labels)) if weights is None else weights
    learning = plan.learning_rows(len(labels), common)
    state = Boosting(plan, labels, weights, learning)
    records: list[list[SplitRecord]] = [[] for _ in codes]
    trees: list[Tree] = []
    for number in range(1, rounds + 1):
        of_round = Prf(common.derive(number))
        derivatives, used = state.derivatives(plan.sampled_rows(learning, of_round), of_round)
        sources = [
            Local(
                block, int(block.max(initial=1)), derivatives, plan.sampled_columns(str(party), block.shape[1], of_round), len(kept)
            )
            for party, (block, kept) in enumerate(zip(codes, records, strict=True))
        ]
        grown, places = grow(sources, derivatives, len(labels), used, state.growth)
        trees += grown
        for kept, source in zip(records, sources, strict=True):
            kept += source.records
        if state.add(grown, places):
            break
    return Pooled(trees[: state.best_rounds * plan.outputs], state.base, records, state.loss, state.margins)
