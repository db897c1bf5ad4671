"""The terms of an agreement: who takes part in what, under which limits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from contracts.parameters import BOOSTED, COMMON_TREES, HORIZONTAL, NETWORKS, Parameter, Value, choose, parameters
from storage.canonical import digest
from storage.errors import CodedError

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Protocol = Literal[
    "linear",
    "logistic-taylor",
    "logistic-guest",
    "logistic-arbiter",
    "secureboost",
    "horizontal-linear",
    "horizontal-logistic",
    "horizontal-mlp",
    "horizontal-trees",
]
Metric = Literal["auc", "ks", "accuracy", "logloss", "rmse", "r2"]
Missing = Literal["reject", "mean", "median", "zero", "indicator", "level"]
Outcome = Literal["number", "binary", "classes"]
DIRECTION_WAIVER = "disclose-direction-to-guest"
COALITION_WAIVER = "disclose-coalition-scores-to-guest"
MOST_RETRAINED = 6
"""Most data parties for which every coalition may be trained anew: 30 further trainings."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PartyTerms(Strict):
    role: Literal["guest", "host", "arbiter", "client", "aggregator"]


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
    """The network that is learnt: units of its hidden layers, and what it predicts (docs/protocols/horizontal-mlp.md)."""

    hidden: list[Annotated[int, Field(ge=1, le=1024)]] = Field([32], min_length=1, max_length=4)
    activation: Literal["relu", "tanh"] = "relu"
    outcome: Outcome = "binary"
    classes: int = Field(2, ge=2, le=64)

    @model_validator(mode="after")
    def _classes_fit(self) -> Self:
        if (self.outcome == "classes") != (self.classes > 2):
            raise ValueError("classes: three or more where outcome is classes, and only there")
        return self


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
    label: LabelTerms
    boosting: BoostingTerms | None = None
    horizontal: HorizontalTerms | None = None
    network: NetworkTerms | None = None
    privacy: PrivacyTerms | None = None
    parameters: dict[str, Any] = {}
    waivers: list[Literal["disclose-direction-to-guest", "disclose-coalition-scores-to-guest"]] = []

    @model_validator(mode="after")
    def _parameters_fit(self) -> Self:
        for name, value in self.parameters.items():
            try:
                parameters({name: value}, self.protocol)
            except CodedError as error:
                raise ValueError(f"parameters.{name}: {error.detail}") from None
        return self

    @model_validator(mode="before")
    @classmethod
    def _boosting_is_explicit(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("protocol") in BOOSTED:
            return {"boosting": {}, **given}
        return given

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
        if self.horizontal is not None and self.label.column in self.horizontal.features:
            raise ValueError("horizontal.features: the label is none")
        features = {} if self.horizontal is None or self.protocol in COMMON_TREES else self.horizontal.features
        if any(one.missing == "level" for one in features.values()):
            raise ValueError(f"horizontal.features: missing is level with {', '.join(COMMON_TREES)} only")
        return self

    @model_validator(mode="before")
    @classmethod
    def _network_is_explicit(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("protocol") in NETWORKS:
            return {"network": {}, **given}
        return given

    @model_validator(mode="after")
    def _network_fits(self) -> Self:
        if (self.protocol in NETWORKS) != (self.network is not None):
            raise ValueError(f"network: {', '.join(NETWORKS)} has it, and only that")
        return self

    @model_validator(mode="after")
    def _privacy_fits(self) -> Self:
        features = {} if self.horizontal is None else self.horizontal.features
        numbers = {name: one.range for name, one in features.items() if one.levels is None}
        if self.network is not None and self.network.outcome == "number":
            numbers["label"] = self.label.range
        if self.privacy is None:
            if self.label.range is not None:
                raise ValueError("label.range: it takes the place of statistics with task.privacy, and only there")
            quantiles = self.protocol in COMMON_TREES or (self.horizontal is not None and self.horizontal.quartiles)
            if not quantiles and any(one.range is not None for one in features.values()):
                raise ValueError("range: trees, quartiles and task.privacy have a use for it, and only they")
            return self
        if self.horizontal is not None and self.horizontal.quartiles:
            raise ValueError("horizontal.quartiles: they are not private in the sense of task.privacy; leave them out")
        if self.network is None:
            raise ValueError(f"privacy: {', '.join(NETWORKS)} has it, and only that")
        unknown = [name for name, one in numbers.items() if one is None]
        if unknown:
            raise ValueError(f"privacy: without statistics of rows a range is needed for {', '.join(unknown)}")
        if self.parameters.get("patience") is not None:
            raise ValueError("parameters.patience: no loss is taken with task.privacy, so none says when to stop")
        return self

    @property
    def classes(self) -> int:
        """How many classes there are, where several are predicted."""
        if self.network is not None:
            return self.network.classes
        return self.boosting.classes if self.boosting is not None else 2

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
        if held.count("guest") != 1 or held.count("host") < 1 or held.count("arbiter") > 1:
            raise ValueError("parties: exactly one guest, at least one host and at most one arbiter are needed")
        if protocol not in ("logistic-guest", "secureboost") and "arbiter" not in held:
            raise ValueError(f"task.protocol: {protocol} needs an arbiter; logistic-guest and secureboost do without")
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


class IdTerms(Strict):
    column: str
    canonical: Literal["text", "phone", "idcard", "date"] = "text"


class AlignmentTerms(Strict):
    """Which ids are compared, and how (docs/alignment.md).

    ``auto`` is ``kkrt`` for two data parties of which one has 100,000 ids or more, else ``ring``.
    """

    id: list[IdTerms] = Field(min_length=1)
    duplicates: Literal["reject", "keep-latest", "mean"] = "reject"
    latest_by: str | None = None
    minimum_intersection: int = Field(100, ge=1)
    protocol: Literal["auto", "ring", "kkrt"] = "auto"

    @model_validator(mode="after")
    def _latest_needs_a_column(self) -> Self:
        if (self.duplicates == "keep-latest") != (self.latest_by is not None):
            raise ValueError("duplicates: keep-latest needs latest_by, and only it does")
        return self


class ColumnTerms(Strict):
    kind: Literal["numeric", "categorical"] = "numeric"
    missing: Missing | None = None
    clip: float | None = Field(None, gt=0)


class TableTerms(Strict):
    drop: list[str] = []
    missing: Missing = "reject"
    columns: dict[str, ColumnTerms] = {}


class QualityTerms(Strict):
    metric: Metric
    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.minimum is None) == (self.maximum is None):
            raise ValueError("give either minimum or maximum")
        return self


class LimitTerms(Strict):
    minimum_batch: int = Field(256, ge=1)
    minimum_one_hot_count: int = Field(10, ge=1)
    maximum_leverage: float = Field(0.1, gt=0, le=1)
    minimum_bin_rows: int = Field(20, ge=1)
    minimum_leaf_rows: int = Field(20, ge=1)
    minimum_row_difference: int = Field(100, ge=0)
    maximum_rounds_over_runs: int | None = Field(None, ge=1)


class DeadlineTerms(Strict):
    """Seconds: to wait for one message, for a party to join, for a whole run, and for everybody's vote on its block."""

    message: float = Field(3600, gt=0)
    join: float = Field(86400, gt=0)
    run: float = Field(172800, gt=0)
    settle: float = Field(3600, gt=0)


class LiveTerms(Strict):
    """What a prediction run pays for how well the published model does on labels that arrived since: smallest currency units.

    Paid is ``budget`` times the gain in use over the gain at publication (both over the baseline; at least 0, at most 1), rounded
    down, and divided by the contributions to the training run. The rest is not spent. Between two payments for one model at least
    ``minimum_rows`` labelled rows must have come.
    """

    budget: int = Field(ge=0)
    minimum_rows: int = Field(100, ge=1)


class IncentiveTerms(Strict):
    """What a training run pays, in the smallest currency units, and how it is divided (white paper, chapter 4).

    Refunds first; the rest by positive Shapley values of ``metric`` on the held-out rows, or by data volume where ``method`` says
    so or no party has a positive one. ``absent`` says what stands for a party outside a coalition: its mean score, or nothing in a
    model that the coalition trained anew.
    """

    budget: int = Field(ge=0, le=10**15)
    currency: str = Field("EUR", pattern=r"^[A-Z]{3}$")
    metric: Metric | None = None
    method: Literal["shapley", "volume"] = "shapley"
    absent: Literal["mean", "retrain"] = "mean"
    refunds: dict[Name, Annotated[int, Field(ge=0)]] = {}
    live: LiveTerms | None = None

    @model_validator(mode="after")
    def _refunds_fit(self) -> Self:
        if sum(self.refunds.values()) > self.budget:
            raise ValueError("refunds: together they are more than the budget")
        return self


class RetentionTerms(Strict):
    """How many days after a run's block is final its artifacts and what it kept of people are deleted; hashes stay."""

    artifacts_days: int = Field(ge=0)


class Terms(Strict):
    """The first half of an agreement; keys and stores are pinned by its amendments."""

    schema_version: Literal["tombolo.terms/1"] = Field(alias="schema")
    name: Name
    parties: dict[Name, PartyTerms]
    task: TaskTerms
    alignment: AlignmentTerms
    tables: dict[Name, TableTerms] = {}
    scores: list[Name] = []
    quality: QualityTerms | None = None
    limits: LimitTerms = LimitTerms()  # type: ignore[call-arg]
    deadlines: DeadlineTerms = DeadlineTerms()  # type: ignore[call-arg]
    incentives: IncentiveTerms | None = None
    retention: RetentionTerms | None = None
    schedule: str | None = None
    joining: Literal["automatic", "approval"] = "automatic"
    leg: int = Field(5, ge=1)

    @model_validator(mode="after")
    def _parties_fit(self) -> Self:
        self.require_composition(self.roles().values())
        data = {name for name, party in self.parties.items() if party.role not in ("arbiter", "aggregator")}
        if self.task.horizontal is not None:
            self._require_horizontal(self.task.horizontal)
        for field, names in (("scores", self.scores), ("tables", self.tables)):
            strangers = sorted(set(names) - data)
            if strangers:
                raise ValueError(f"{field}: {', '.join(strangers)} holds no data here; data parties: {', '.join(sorted(data))}")
        if self.incentives is not None:
            strangers = sorted(set(self.incentives.refunds) - set(self.parties))
            if strangers:
                raise ValueError(f"incentives.refunds: {', '.join(strangers)} is no party; parties: {', '.join(self.parties)}")
        if self.schedule is not None and not re.fullmatch(r"@\w+|(\S+\s+){4}\S+", self.schedule):
            raise ValueError("schedule: a cron expression of five fields, or @daily and the like")
        return self

    def _require_horizontal(self, horizontal: HorizontalTerms) -> None:
        if self.tables:
            raise ValueError("tables: clients' tables are alike; task.horizontal.features says what is in them")
        if self.incentives is not None and self.incentives.method != "volume":
            raise ValueError("incentives.method: nobody sees a client's part of a sum, so coalitions cannot be valued; use volume")
        if horizontal.step_seconds >= self.deadlines.message:
            raise ValueError("horizontal.step_seconds: less than deadlines.message, for which clients wait for the aggregator")

    def require_composition(self, roles: Iterable[str]) -> None:
        """Raise ValueError unless parties in these roles can train and settle by the terms; amendments must keep to it too."""
        held = list(roles)
        self.task.require_composition(held)
        if self.alignment.protocol == "kkrt" and held.count("guest") + held.count("host") != 2:
            raise ValueError("alignment.protocol: kkrt is for two data parties; use ring, or auto")
        if self.incentives is not None:
            self._require_evaluator(self.incentives, held)

    def _require_evaluator(self, incentives: IncentiveTerms, roles: list[str]) -> None:
        protocol, linear = self.task.protocol, ("rmse", "r2")
        if incentives.metric is not None and (incentives.metric in linear) != (self.task.outcome == "number"):
            raise ValueError(f"incentives.metric: {protocol} is not measured by {incentives.metric}")
        if incentives.method == "volume":
            if incentives.live is not None:
                raise ValueError("incentives.live: it pays by what the model gains, which volume does not measure")
            return
        if protocol == "secureboost":
            raise ValueError("incentives.method: trees have no score per party, so coalitions cannot be valued; use volume")
        if "arbiter" not in roles and COALITION_WAIVER not in self.task.waivers:
            raise ValueError(
                "incentives.method: without an arbiter nobody may see coalitions' scores; "
                f"use volume, or sign the waiver {COALITION_WAIVER}"
            )
        if incentives.absent == "retrain" and protocol == "logistic-guest":
            raise ValueError(
                "incentives.absent: each coalition's training would show the guest more directions of the hosts' columns, "
                "and a single host's own; use mean, or logistic-arbiter"
            )
        if incentives.absent == "retrain" and len(roles) - roles.count("arbiter") > MOST_RETRAINED:
            raise ValueError(f"incentives.absent: retraining is for {MOST_RETRAINED} data parties at most; use mean")

    def parameters(self) -> dict[str, Parameter]:
        """Every training parameter with its default and what is allowed."""
        return parameters(self.task.parameters, self.task.protocol)

    def choose(self, choices: Mapping[str, Any]) -> dict[str, Value]:
        """All parameters of a run from a form's choices; raises BadParameter."""
        return choose(self.parameters(), choices)

    def roles(self) -> dict[str, str]:
        """Role by party, in the agreement's order."""
        return {name: party.role for name, party in self.parties.items()}

    def table(self, party: str) -> TableTerms:
        horizontal = self.task.horizontal
        return self.tables.get(party, TableTerms()) if horizontal is None else horizontal.table()

    def document(self) -> dict[str, Any]:
        """All fields with explicit defaults; parties as a list, because their order counts and canonical JSON would sort them."""
        plain = self.model_dump(mode="json", by_alias=True)
        plain["parties"] = [{"name": name, **party} for name, party in plain["parties"].items()]
        plain["task"]["parameters"] = {name: one.document() for name, one in self.parameters().items()}
        return plain

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical terms: what is signed."""
        return digest(self.document())
