"""What does not hold for every protocol, with reasons. Cases are ``protocol-engine``; names are patterns of ``fnmatch``."""

from __future__ import annotations

from collections.abc import Mapping

_PAIR = "with two data parties the sum is the sender's part, which goes under its own name (sole_score)"
_ENGINE = "scoring declares the messages of all engines; each engine has its own"

UNSENT: Mapping[tuple[str, str], str] = {
    ("linear-*", "masked_score"): _PAIR,
    ("logistic-arbiter-*", "masked_score"): _PAIR,
    ("logistic-taylor-*", "masked_score"): _PAIR,
    ("logistic-guest-*", "sole_score"): "with three data parties every part is masked",
    ("secureboost-*", "class_gradients"): "only with several classes",
    ("secureboost-*", "visit"): "only with boosting.prediction level-wise",
    ("secureboost-*", "turned"): "only with boosting.prediction level-wise",
    ("vertical-mlp-paillier", "masked_units"): _ENGINE,
    ("vertical-mlp-paillier", "masked_weights"): _ENGINE,
    ("vertical-mlp-paillier", "shared_sums"): _ENGINE,
    ("vertical-mlp-paillier", "readable_units"): _ENGINE,
    ("vertical-mlp-dealer", "public_key"): _ENGINE,
    ("vertical-mlp-dealer", "units"): _ENGINE,
    ("vertical-mlp-dealer", "masked_sums"): _ENGINE,
    ("vertical-mlp-dealer", "sums"): _ENGINE,
    ("vertical-mlp-dealer", "readable_units"): _ENGINE,
    ("vertical-mlp-split", "public_key"): _ENGINE,
    ("vertical-mlp-split", "units"): _ENGINE,
    ("vertical-mlp-split", "masked_sums"): _ENGINE,
    ("vertical-mlp-split", "sums"): _ENGINE,
    ("vertical-mlp-split", "masked_units"): _ENGINE,
    ("vertical-mlp-split", "masked_weights"): _ENGINE,
    ("vertical-mlp-split", "shared_sums"): _ENGINE,
}
"""Messages that are declared and not sent in a case."""

REDRAWN: Mapping[str, str] = {}
"""Cases whose model documents differ under replay, though the scores are the same."""

TOLERANCES: Mapping[str, tuple[float, str]] = {
    "logistic-arbiter-*": (1e-3, "the quasi-Newton path is not at the optimum after 12 rounds"),
}
"""How far a held-out score may lie from the reference's; 1e-6 where nothing else is said."""

OWN_OPTIMUM: Mapping[str, str] = {
    "logistic-taylor-*": "measured against the exact logistic model, which it is not; its own optimum is what it must find",
}
"""Cases that are compared with what the reference gives for a party alone, over everybody's columns."""

ACCEPTED: Mapping[tuple[str, str], str] = {}
"""Forgeries that no recipient can tell from true values."""
