"""Training parameters: what the terms allow, and what one run chooses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tombolo.storage.errors import CodedError

Value = int | float | str | bool | None


class BadParameter(CodedError):
    code = "TMB-TERMS-002"
    cause = "A parameter is unknown, or its value is outside what the terms allow."
    remedy = "Choose a value within the agreement's range, or agree on new terms together."


LINEAR = ("linear", "logistic-taylor", "logistic-guest", "logistic-arbiter")
DEALT = ("linear-dealer", "logistic-taylor-dealer", "logistic-arbiter-dealer")
"""Protocols of :data:`LINEAR` on the engine ``dealer``, which needs neither a key nor batches."""
TREES = ("secureboost",)
NEWTON = ("horizontal-linear", "horizontal-logistic")
NETWORKS = ("horizontal-mlp",)
VERTICAL_NETWORKS = ("vertical-mlp",)
SPLIT = ("vertical-mlp-split",)
"""Protocols of :data:`VERTICAL_NETWORKS` on the engine ``split``, which needs no key."""
DEALT_NETWORKS = ("vertical-mlp-dealer",)
"""The same on the engine ``dealer``, which needs no key either."""
COMMON_TREES = ("horizontal-trees",)
HORIZONTAL = (*NEWTON, *NETWORKS, *COMMON_TREES)
BOOSTED = (*TREES, *COMMON_TREES)
TRANSFER = ("transfer",)
QUERIES = ("lending-query",)
"""Protocols that train nothing: an index is built, and asked."""

WEIGHTED = (*LINEAR, *DEALT, *NEWTON)
BATCHED = ("linear", "logistic-taylor", *VERTICAL_NETWORKS, *SPLIT, *DEALT_NETWORKS, *NETWORKS)


@dataclass(frozen=True)
class Known:
    """What the product knows of a parameter: its type, its default, the range or the words that make sense, and a sentence for
    the form."""

    kind: type
    default: Value
    low: float | None
    high: float | None
    title: str
    description: str
    protocols: tuple[str, ...] = (*LINEAR, *DEALT, *TREES, *VERTICAL_NETWORKS, *SPLIT, *DEALT_NETWORKS, *HORIZONTAL, *TRANSFER)
    words: tuple[str, ...] = ()


KNOWN: dict[str, Known] = {
    "rounds": Known(int, 40, 1, 1000, "Rounds", "Most training rounds; training stops earlier when it has converged."),
    "l2": Known(
        float,
        0.001,
        0,
        1e6,
        "L2 penalty",
        "Weight of the squared-norm penalty, intercept not penalised.",
        (*WEIGHTED, *NETWORKS, *TRANSFER),
    ),
    "tolerance": Known(float, 1e-5, 0, 1, "Tolerance", "Training stops when no gradient component exceeds this.", WEIGHTED),
    "key_bits": Known(
        int,
        2048,
        1024,
        4096,
        "Key size",
        "Bits of the Paillier key.",
        (*LINEAR, *TREES, *VERTICAL_NETWORKS, *TRANSFER, *QUERIES),
    ),
    "test_fraction": Known(float, 0.25, 0, 0.9, "Held-out fraction", "Part of the rows kept for evaluation."),
    "batch_rows": Known(int, None, 1, None, "Batch rows", "Rows per mini-batch; empty for all rows.", BATCHED),
    "step": Known(float, 0.1, 0, 100, "Step size", "Step of mini-batch training.", BATCHED),
    "depth": Known(int, 4, 1, 8, "Depth", "Most splits on the way from a tree's root to a leaf.", BOOSTED),
    "bins": Known(int, 32, 2, 255, "Bins", "Most bins per column; missing values have one of their own beside these.", BOOSTED),
    "learning_rate": Known(float, 0.3, 1e-4, 1, "Learning rate", "What a tree's leaves are multiplied by.", BOOSTED),
    "lambda": Known(float, 1.0, 0, 1e6, "Lambda", "L2 penalty on the values of leaves.", BOOSTED),
    "gamma": Known(float, 0.0, 0, 1e6, "Gamma", "Least gain of a split.", BOOSTED),
    "min_child_weight": Known(
        float,
        1.0,
        0,
        1e6,
        "Least child weight",
        "Least sum of h in a leaf; raised to what limits.minimum_leaf_rows needs.",
        BOOSTED,
    ),
    "gradient_bits": Known(int, 24, 16, 32, "Gradient bits", "Bits of a row's g and h, relative to the largest.", BOOSTED),
    "subsample": Known(float, 1.0, 0.05, 1, "Rows per tree", "Part of the training rows that a round learns from.", TREES),
    "colsample": Known(float, 1.0, 0.05, 1, "Columns per tree", "Part of each party's columns that a round uses.", TREES),
    "goss_top": Known(float, 0.0, 0, 0.9, "GOSS, kept", "Part of the rows kept for their large gradients; 0 for no GOSS.", TREES),
    "goss_other": Known(float, 0.1, 0.01, 0.9, "GOSS, drawn", "Part of the rows drawn from the others; lossy.", TREES),
    "patience": Known(
        int,
        None,
        1,
        1000,
        "Patience",
        "Rounds without a better loss on validation rows before training stops; empty for all.",
        (*BOOSTED, *NETWORKS),
    ),
    "validation_fraction": Known(
        float,
        0.1,
        0.01,
        0.5,
        "Validation fraction",
        "Part of the training rows that decides when to stop, with a patience.",
        (*BOOSTED, *NETWORKS),
    ),
    "strategy": Known(
        str,
        "fedavg",
        None,
        None,
        "Strategy",
        "How clients' updates become the joint weights: their mean, that of updates held close (fedprox), or Adam along it.",
        NETWORKS,
        words=("fedavg", "fedprox", "fedadam"),
    ),
    "local_epochs": Known(int, 1, 1, 100, "Local epochs", "How often a client goes through its rows in a round.", NETWORKS),
    "momentum": Known(
        float,
        0.9,
        0,
        0.999,
        "Momentum",
        "Of descent; clients' anew in every round.",
        (*VERTICAL_NETWORKS, *SPLIT, *DEALT_NETWORKS, *NETWORKS),
    ),
    "proximal": Known(float, 0.01, 0, 1e3, "Proximal weight", "How close fedprox holds clients to the joint weights.", NETWORKS),
    "server_rate": Known(float, 0.01, 1e-6, 10, "Server rate", "Adam's step at the aggregator, of fedadam.", NETWORKS),
    "norm_bound": Known(
        float, 10.0, 1e-6, 1e6, "Norm bound", "A client shortens its update of all weights to this L2 norm.", NETWORKS
    ),
    "seed": Known(int, 1, 0, 2**31 - 1, "Seed", "First weights and the order of rows come from it.", (*NETWORKS, *TRANSFER)),
    "alignment_weight": Known(
        float, 0.1, 0, 100, "Alignment weight", "Weight of the squared distance between both parties' numbers of a row.", TRANSFER
    ),
    "labelled_rows": Known(
        int, None, 1, None, "Labelled rows", "Most common rows whose labels are learnt from; empty for all of them.", TRANSFER
    ),
    "class_weights": Known(
        str,
        "none",
        None,
        None,
        "Class weights",
        "Whether rows of the rarer class count for more; with it every row has its own ciphertexts.",
        TRANSFER,
        words=("none", "balanced"),
    ),
    "pretraining": Known(
        int, 300, 0, 10_000, "Pretraining", "Steps that the source's net takes on its own labels before the first round.", TRANSFER
    ),
    "optimiser": Known(str, "adam", None, None, "Optimiser", "How weights move along gradients.", TRANSFER, words=("adam", "sgd")),
    "rate": Known(float, 0.02, 1e-6, 10, "Rate", "Step size of the optimiser.", TRANSFER),
    "loss_change": Known(
        float, 1e-4, 0, 1, "Loss change", "Training stops when three rounds changed the loss by less than this.", TRANSFER
    ),
}


@dataclass(frozen=True)
class Parameter:
    """One parameter under some terms: its default, and a range or a list of allowed values; fixed where there is neither."""

    name: str
    default: Value
    low: float | None = None
    high: float | None = None
    allowed: tuple[Value, ...] | None = None

    @property
    def fixed(self) -> bool:
        return self.low is None and self.high is None and self.allowed is None

    def document(self) -> Any:
        if self.fixed:
            return self.default
        if self.allowed is not None:
            return {"default": self.default, "allowed": list(self.allowed)}
        return {"default": self.default, "min": self.low, "max": self.high}

    def choose(self, given: Any) -> Value:
        """The value for a run; raises :class:`BadParameter`."""
        value = _typed(self.name, given)
        if self.fixed and value != self.default:
            raise BadParameter(f"{self.name} is fixed by the terms.")
        if self.allowed is not None and value not in self.allowed:
            raise BadParameter(f"{self.name} must be one of {', '.join(map(str, self.allowed))}.")
        low, high = self.low, self.high
        if isinstance(value, int | float) and ((low is not None and value < low) or (high is not None and value > high)):
            raise BadParameter(f"{self.name} must lie between {low} and {high}.")
        return value


def parameters(given: Mapping[str, Any], protocol: str) -> dict[str, Parameter]:
    """All parameters of a protocol under the terms' ``given`` ones, by name in sorted order; raises :class:`BadParameter`."""
    known = {name: one for name, one in KNOWN.items() if protocol in one.protocols}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise BadParameter(f"{protocol} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}.")
    return {name: _parameter(name, given[name] if name in given else known[name].default) for name in sorted(known)}


def choose(allowed: Mapping[str, Parameter], choices: Mapping[str, Any]) -> dict[str, Value]:
    """Every parameter with its chosen or default value."""
    unknown = sorted(set(choices) - set(allowed))
    if unknown:
        raise BadParameter(f"There is no {', '.join(unknown)}; there is {', '.join(allowed)}.")
    return {name: one.choose(choices[name]) if name in choices else one.default for name, one in allowed.items()}


def _parameter(name: str, given: Any) -> Parameter:
    if not isinstance(given, Mapping):
        return Parameter(name, _typed(name, given))
    if set(given) == {"default", "allowed"} and isinstance(given["allowed"], list) and given["allowed"]:
        made = Parameter(name, _typed(name, given["default"]), allowed=tuple(_typed(name, one) for one in given["allowed"]))
    elif set(given) == {"default", "min", "max"}:
        made = Parameter(name, _typed(name, given["default"]), low=_typed(name, given["min"]), high=_typed(name, given["max"]))  # type: ignore[arg-type]
    else:
        raise BadParameter(f"{name} takes a value, or default with min and max, or default with allowed.")
    made.choose(made.default)
    return made


def _typed(name: str, value: Any) -> Value:
    """``value`` as the parameter's type within the product's own range."""
    known = KNOWN[name]
    if value is None and known.default is None:
        return None
    if known.words:
        if value not in known.words:
            raise BadParameter(f"{name} must be one of {', '.join(known.words)}.")
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadParameter(f"{name} must be a number.")
    if known.kind is int and value != int(value):
        raise BadParameter(f"{name} must be a whole number.")
    typed: int | float = known.kind(value)
    if (known.low is not None and typed < known.low) or (known.high is not None and typed > known.high):
        raise BadParameter(f"{name} must lie between {known.low} and {known.high}.")
    if name == "key_bits" and typed % 1024:  # 1024 bits are for TaskTerms to refuse
        raise BadParameter("key_bits must be 2048, 3072 or 4096.")
    return typed
