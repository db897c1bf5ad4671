"""The terms of a task: what is learnt, by which protocol, and what it may disclose."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from tombolo.agreements.engine import Engine, require, training
from tombolo.agreements.parameters import (
    BOOSTED,
    COMMON_TREES,
    DEALT_NETWORKS,
    HORIZONTAL,
    NETWORKS,
    QUERIES,
    TRANSFER,
    VERTICAL_NETWORKS,
    parameters,
)
from tombolo.agreements.query import FEWEST_LENDERS, MOST_LENDERS, QueryTerms
from tombolo.agreements.tables import ColumnTerms, Strict, TableTerms
from tombolo.storage.errors import CodedError

Protocol = Literal[
    "linear",
    "logistic-taylor",
    "logistic-guest",
    "logistic-arbiter",
    "secureboost",
    "vertical-mlp",
    "horizontal-linear",
    "horizontal-logistic",
    "horizontal-mlp",
    "horizontal-trees",
    "transfer",
    "lending-query",
]
Outcome = Literal["number", "binary", "classes"]
Waiver = Literal[
    "disclose-direction-to-guest",
    "disclose-coalition-scores-to-guest",
    "expose-features-to-colluding-arbiter",
    "expose-labels-and-features-by-split",
]
DIRECTION_WAIVER = "disclose-direction-to-guest"
SHORTEST_KEY = 2048
"""Bits of the shortest Paillier key that terms may allow."""


def _rising(range: tuple[float, float]) -> tuple[float, float]:
    if range[0] >= range[1]:
        raise ValueError("the lower end first, and the upper end above it")
    return range


Range = Annotated[tuple[float, float], AfterValidator(_rising)]


class LabelTerms(Strict):
    column: str
    range: Range | None = None


class BoostingTerms(Strict):
    """What is learnt with boosted trees; all but ``objective`` and ``classes`` is for columns that lie with several parties."""

    objective: Literal["logistic", "squared", "softmax"] = "logistic"
    classes: int = Field(2, ge=2, le=64)
    weight: str | None = None
    first_tree_guest_only: bool = False
    feature_names: bool = False
    prediction: Literal["one-message", "level-wise"] = "one-message"

    @model_validator(mode="after")
    def _classes_fit(self) -> Self:
        if (self.objective == "softmax") != (self.classes > 2):
            raise ValueError("classes: three or more for softmax, and only for softmax")
        return self


class NetworkTerms(Strict):
    """The network that is learnt: units of its hidden layers, and what it predicts.

    In a vertical one every party has ``bottom`` units of its own, and the first of the ``hidden`` layers joins them; the rest is
    the guest's (docs/protocols/vertical-mlp.md, docs/protocols/horizontal-mlp.md).
    """

    bottom: int | None = Field(None, ge=2, le=64)
    hidden: list[Annotated[int, Field(ge=1, le=1024)]] = Field([32], min_length=1, max_length=4)
    activation: Literal["relu", "tanh"] = "relu"
    outcome: Outcome = "binary"
    classes: int = Field(2, ge=2, le=64)

    @model_validator(mode="after")
    def _classes_fit(self) -> Self:
        if (self.outcome == "classes") != (self.classes > 2):
            raise ValueError("classes: three or more where outcome is classes, and only there")
        if self.bottom is not None and not self.hidden[0] < self.bottom:
            raise ValueError("hidden: fewer units in the first layer than a party has of its own (bottom)")
        return self


class TransferTerms(Strict):
    """The nets of federated transfer learning (docs/protocols/transfer.md), alike at both parties.

    A party's columns become at most ``components`` numbers, the principal components of its own rows; over them lie layers of
    ``hidden`` units, and ``width`` numbers between -1 and 1 come out.
    """

    components: int = Field(10, ge=1, le=256)
    hidden: list[Annotated[int, Field(ge=1, le=64)]] = Field(default_factory=list, max_length=2)
    width: int = Field(8, ge=2, le=64)


class PrivacyTerms(Strict):
    """Differential privacy of single training rows (docs/protocols/horizontal-mlp.md).

    Every row's gradient is shortened to ``clip``, and the aggregator adds noise to their sum. Given is either ``epsilon``, for all
    rounds of a run, or ``noise``, in units of ``clip``.
    """

    delta: float = Field(gt=0, le=0.01)
    epsilon: float | None = Field(None, gt=0, le=1000)
    noise: float | None = Field(None, gt=0, le=10_000)
    clip: float = Field(1.0, gt=0, le=1000)

    @model_validator(mode="after")
    def _one_aim(self) -> Self:
        if (self.epsilon is None) == (self.noise is None):
            raise ValueError("give either epsilon or noise")
        return self


class FeatureTerms(Strict):
    """A column that all clients have: a number, or one of the ``levels``; what is none of them is no level.

    ``range`` is where its numbers are publicly known to lie, whatever the rows: the fine bins of quantiles fill it, and with
    ``privacy`` columns are standardised by it. ``missing: level`` gives trees a bin of missing values.
    """

    levels: list[str] | None = Field(None, min_length=1)
    missing: Literal["reject", "mean", "level"] = "reject"
    clip: float | None = Field(None, gt=0)
    range: Range | None = None

    @model_validator(mode="after")
    def _levels_differ(self) -> Self:
        if self.levels is not None and (len(set(self.levels)) != len(self.levels) or "" in self.levels):
            raise ValueError("levels: each once, and none empty")
        if self.levels is not None and self.range is not None:
            raise ValueError("range: levels have none")
        return self


class HorizontalTerms(Strict):
    """What all clients' tables have in common, and how their sums are taken (docs/protocols/horizontal.md).

    ``threshold`` clients are the fewest that a sum is taken over, by default just more than two thirds; a step of a sum stays open
    for ``step_seconds``. ``quartiles`` puts those of every column into the report of all training rows, for two more sums; trees
    find them anyway. With ``absence: skip`` a run begins without clients that decline it or have not joined in time; with ``admit``
    one that comes later takes part from the next leg of training on.
    """

    features: dict[str, FeatureTerms] = Field(min_length=1)
    threshold: int | None = Field(None, ge=3)
    step_seconds: float = Field(600, gt=0)
    absence: Literal["wait", "skip", "admit"] = "wait"
    quartiles: bool = False

    def threshold_of(self, clients: int) -> int:
        return self.threshold if self.threshold is not None else 2 * clients // 3 + 1

    def table(self) -> TableTerms:
        """The terms of every client's table."""
        kinds: dict[bool, Literal["numeric", "categorical"]] = {True: "numeric", False: "categorical"}
        return TableTerms(
            columns={
                name: ColumnTerms(kind=kinds[one.levels is None], missing=one.missing, clip=one.clip)
                for name, one in self.features.items()
            }
        )


class TaskTerms(Strict):
    protocol: Protocol
    engine: Engine | None = None
    label: LabelTerms | None = None
    boosting: BoostingTerms | None = None
    horizontal: HorizontalTerms | None = None
    network: NetworkTerms | None = None
    privacy: PrivacyTerms | None = None
    query: QueryTerms | None = None
    transfer: TransferTerms | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    waivers: list[Waiver] = Field(default_factory=list)

    @model_validator(mode="after")
    def _parameters_fit(self) -> Self:
        for name, value in self.parameters.items():
            try:
                parameters({name: value}, self.training)
            except CodedError as error:
                raise ValueError(f"parameters.{name}: {error.detail}") from None
        return self

    @model_validator(mode="after")
    def _keys_are_long(self, info: ValidationInfo) -> Self:
        """``shortest_key`` in the validation's context takes the place of :data:`SHORTEST_KEY`; only tests hand one in."""
        shortest = (info.context or {}).get("shortest_key", SHORTEST_KEY)
        given = self.parameters.get("key_bits", shortest)
        if min(given.get("allowed") or [given["min"]] if isinstance(given, dict) else [given]) < shortest:
            raise ValueError("parameters.key_bits: key_bits must be 2048, 3072 or 4096.")
        return self

    @model_validator(mode="before")
    @classmethod
    def _defaults_are_explicit(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        boosting: dict[str, Any] = {"boosting": {}} if given.get("protocol") in BOOSTED else {}
        network: dict[str, Any] = {"network": {}} if given.get("protocol") in NETWORKS else {}
        if given.get("protocol") in VERTICAL_NETWORKS:
            usual = {"bottom": 8, "hidden": [4], "activation": "tanh"}
            network = {"network": usual}
            if isinstance(given.get("network"), dict):
                given = {**given, "network": {**usual, **given["network"]}}
        engine = {} if given.get("protocol") in (*HORIZONTAL, *QUERIES) or given.get("engine") else {"engine": "paillier"}
        transfer: dict[str, Any] = {"transfer": {}} if given.get("protocol") in TRANSFER else {}
        return {**boosting, **network, **transfer, **given, **engine}

    @model_validator(mode="after")
    def _query_fits(self) -> Self:
        if (self.protocol in QUERIES) != (self.query is not None):
            raise ValueError(f"query: {', '.join(QUERIES)} has it, and only that")
        if (self.protocol in QUERIES) != (self.label is None):
            raise ValueError(f"label: all but {', '.join(QUERIES)} have one")
        return self

    @model_validator(mode="after")
    def _engine_fits(self) -> Self:
        require(self.protocol, self.engine, self.waivers)
        return self

    @model_validator(mode="after")
    def _boosting_fits(self) -> Self:
        if (self.protocol in BOOSTED) != (self.boosting is not None):
            raise ValueError(f"boosting: {' and '.join(BOOSTED)} have it, and only they")
        common = {"objective", "classes"}
        if self.boosting and self.protocol in COMMON_TREES and self.boosting.model_dump(exclude_defaults=True).keys() - common:
            raise ValueError(f"boosting: with {self.protocol} it says objective and classes, and nothing else")
        return self

    @model_validator(mode="after")
    def _horizontal_fits(self) -> Self:
        if (self.protocol in HORIZONTAL) != (self.horizontal is not None):
            raise ValueError(f"horizontal: {', '.join(HORIZONTAL)} have it, and only they")
        if self.horizontal is not None and self.label is not None and self.label.column in self.horizontal.features:
            raise ValueError("horizontal.features: the label is none")
        features = {} if self.horizontal is None or self.protocol in COMMON_TREES else self.horizontal.features
        if any(one.missing == "level" for one in features.values()):
            raise ValueError(f"horizontal.features: missing is level with {', '.join(COMMON_TREES)} only")
        return self

    @model_validator(mode="after")
    def _network_fits(self) -> Self:
        able = (*VERTICAL_NETWORKS, *NETWORKS)
        if (self.protocol in able) != (self.network is not None):
            raise ValueError(f"network: {' and '.join(able)} have it, and only they")
        if self.network is not None and (self.network.bottom is None) == (self.protocol in VERTICAL_NETWORKS):
            raise ValueError(f"network.bottom: {', '.join(VERTICAL_NETWORKS)} has it, and only that")
        return self

    @model_validator(mode="after")
    def _transfer_fits(self) -> Self:
        if (self.protocol in TRANSFER) != (self.transfer is not None):
            raise ValueError(f"transfer: {', '.join(TRANSFER)} has it, and only that")
        if isinstance(self.parameters.get("labelled_rows"), dict):
            raise ValueError("parameters.labelled_rows: one number; from runs that differ by a row its label would follow")
        return self

    @model_validator(mode="after")
    def _privacy_fits(self) -> Self:
        features = {} if self.horizontal is None else self.horizontal.features
        numbers = {name: one.range for name, one in features.items() if one.levels is None}
        if self.network is not None and self.network.outcome == "number" and self.label is not None:
            numbers["label"] = self.label.range
        if self.privacy is None:
            if self.label is not None and self.label.range is not None:
                raise ValueError("label.range: it takes the place of statistics with task.privacy, and only there")
            quantiles = self.protocol in COMMON_TREES or (self.horizontal is not None and self.horizontal.quartiles)
            if not quantiles and any(one.range is not None for one in features.values()):
                raise ValueError("range: trees, quartiles and task.privacy have a use for it, and only they")
            return self
        if self.horizontal is not None and self.horizontal.quartiles:
            raise ValueError("horizontal.quartiles: they are not private in the sense of task.privacy; leave them out")
        if self.protocol not in NETWORKS:
            raise ValueError(f"privacy: {', '.join(NETWORKS)} has it, and only that")
        unknown = [name for name, one in numbers.items() if one is None]
        if unknown:
            raise ValueError(f"privacy: without statistics of rows a range is needed for {', '.join(unknown)}")
        if self.parameters.get("patience") is not None:
            raise ValueError("parameters.patience: no loss is taken with task.privacy, so none says when to stop")
        return self

    @property
    def label_column(self) -> str:
        """The column of labels, in agreements that train."""
        assert self.label is not None
        return self.label.column

    @property
    def classes(self) -> int:
        """How many classes there are, where several are predicted."""
        if self.network is not None:
            return self.network.classes
        return self.boosting.classes if self.boosting is not None else 2

    @property
    def training(self) -> str:
        """The protocol with its engine: what its messages, role programs and parameters are called by."""
        return training(self.protocol, self.engine)

    @property
    def outcome(self) -> Outcome:
        """What kind of thing is predicted."""
        if self.network is not None:
            return self.network.outcome
        if self.boosting is not None:
            return {"logistic": "binary", "squared": "number", "softmax": "classes"}[self.boosting.objective]  # type: ignore[return-value]
        return "number" if self.protocol in ("linear", "horizontal-linear") else "binary"

    def require_composition(self, roles: Iterable[str]) -> None:
        """Raise ValueError unless parties in these roles can train with the protocol; amendments must keep to it too."""
        held, protocol = list(roles), self.protocol
        if self.horizontal is not None:
            self._require_clients(self.horizontal, held)
            return
        if self.query is not None:
            lenders = held.count("host")
            if held.count("guest") != 1 or held.count("arbiter") != 1 or not FEWEST_LENDERS <= lenders <= MOST_LENDERS:
                raise ValueError(
                    f"parties: one guest, who asks, one arbiter, who matches, and {FEWEST_LENDERS} or more hosts, who lend"
                )
            return
        if self.transfer is not None:
            if sorted(held) != ["guest", "host"]:
                raise ValueError("parties: exactly one guest, the source of labels, and one host, the target, and nobody else")
            return
        if held.count("guest") != 1 or held.count("host") < 1 or held.count("arbiter") > 1:
            raise ValueError("parties: exactly one guest, at least one host and at most one arbiter are needed")
        alone = ("logistic-guest", "secureboost", *VERTICAL_NETWORKS)
        if self.training in DEALT_NETWORKS and "arbiter" not in held:
            raise ValueError(f"task.engine: {protocol} with engine dealer needs an arbiter, who deals; paillier does without")
        if protocol not in alone and "arbiter" not in held:
            raise ValueError(f"task.protocol: {protocol} needs an arbiter; {', '.join(alone)} do without")
        if protocol == "logistic-guest" and held.count("host") == 1 and DIRECTION_WAIVER not in self.waivers:
            raise ValueError(
                f"task.protocol: with one host logistic-guest shows that host's directions to the guest; "
                f"use logistic-arbiter, or sign the waiver {DIRECTION_WAIVER}"
            )

    @staticmethod
    def _require_clients(horizontal: HorizontalTerms, held: list[str]) -> None:
        clients = held.count("client")
        if held.count("aggregator") != 1 or clients < 3 or len(held) != clients + 1:
            raise ValueError("parties: exactly one aggregator, at least three clients, and nobody else are needed")
        if not 2 * clients < 3 * horizontal.threshold_of(clients) <= 3 * clients:
            raise ValueError(
                f"horizontal.threshold: with {clients} clients more than two thirds of them, and not more than there are"
            )
