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

REDRAWN: Mapping[str, str] = {
    "secureboost-*": "the aliases of a host's columns depend on what was received when; trees and records are the same",
    "vertical-mlp-[pd]*": "shares of the weights between the parties depend on what was received when; their sums are the same",
}
"""Cases whose model documents differ under replay, though the scores are the same."""

TOLERANCES: Mapping[str, tuple[float, str]] = {
    "logistic-arbiter-*": (1e-3, "the quasi-Newton path is not at the optimum after 12 rounds"),
    "vertical-mlp-*": (1e-4, "units, derivatives and weights are rounded to fixed point"),
    "linear-*": (1e-4, "training stops at the run's tolerance, not at the optimum itself"),
    "logistic-taylor-*": (1e-4, "training stops at the run's tolerance, not at the optimum itself"),
    "logistic-guest-*": (1e-3, "conjugate directions are not at the optimum after 12 rounds"),
}
"""How far a held-out score may lie from the reference's; 1e-6 where nothing else is said."""

OWN_OPTIMUM: Mapping[str, str] = {
    "logistic-taylor-*": "measured against the exact logistic model, which it is not; its own optimum is what it must find",
}
"""Cases that are compared with what the reference gives for a party alone, over everybody's columns."""

_SHOWN = "a number without a bound that holds for all tables; it is shown to people and steers nothing else"
_RELAYED = "what went through several hands is wrong: nobody can tell which of them did it"
_COLUMNS = "the key holder does not know how many columns a party has; who sends more or fewer gets as many back, and refuses them"

ACCEPTED: Mapping[tuple[str, str], str] = {
    ("*", "loss.loss/huge"): _SHOWN,
    ("*", "verdict.loss/huge"): _SHOWN,
    ("*", "metrics.value/huge"): _SHOWN,
    ("*", "score_edges.edge/huge"): _SHOWN,
    ("horizontal-*", "statistic.value/huge"): "a column's mean and deviation have no bound that holds for all tables",
    ("*", "masked_gradient.[*]/*"): _COLUMNS,
    ("transfer-*", "*_gradient.[*]/*"): _COLUMNS,
    ("transfer-*", "padded_scores.[*]/*"): "who wants fewer scores opened gets fewer back, and refuses them",
    ("*", "scale.exponent/negative"): "labels in small units have a negative exponent",
    ("horizontal-*", "shares.box/*"): "sealed by one client for another; the aggregator that passes it on cannot open it",
    ("horizontal-*", "inbox.box/*"): _RELAYED,
    ("horizontal-*", "roster.keys/*"): _RELAYED,
    ("horizontal-*", "roster.signature/*"): _RELAYED,
    ("horizontal-trees-*", "splits.[*]/no rows"): "says that no node is split further",
    ("horizontal-trees-*", "verdict.validation/huge"): _SHOWN,
    ("horizontal-mlp-*", "training_loss.loss/huge"): _SHOWN,
    ("horizontal-*", "unmask.share/*"): "only the shares together are seen to be wrong, not which of them",
    ("secureboost-*", "names.name/*"): "names are for people",
    ("secureboost-*", "gradients.[*]/no rows"): "says that there is no tree worth growing",
    ("secureboost-*", "choice.[*]/*"): "none says that no node is the host's to split; a candidate named twice is one",
    ("secureboost-*", "partition.[*]/no rows"): "says that no node is looked at further",
    ("*", "total.score/huge"): _SHOWN,
    ("lending-query-*", "blinded_question.*"): _RELAYED,
    ("lending-query-*", "ticket.*"): "two lenders say different things of one batch: nobody can tell which of them lies",
}
"""Forgeries that no recipient can tell from true values, or of which it cannot tell whose fault they are."""
