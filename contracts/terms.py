"""The terms of an agreement: who takes part in what, under which limits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.parameters import Parameter, Value, choose, parameters
from storage.canonical import digest
from storage.errors import CodedError

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Protocol = Literal["linear", "logistic-taylor", "logistic-guest", "logistic-arbiter", "secureboost"]
Metric = Literal["auc", "ks", "accuracy", "logloss", "rmse", "r2"]
Missing = Literal["reject", "mean", "median", "zero", "indicator", "level"]
Outcome = Literal["number", "binary", "classes"]
DIRECTION_WAIVER = "disclose-direction-to-guest"
COALITION_WAIVER = "disclose-coalition-scores-to-guest"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PartyTerms(Strict):
    role: Literal["guest", "host", "arbiter"]


class LabelTerms(Strict):
    column: str


class BoostingTerms(Strict):
    """What is learnt with boosted trees, and how much of it shows (docs/protocols/secureboost.md)."""

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


class TaskTerms(Strict):
    protocol: Protocol
    label: LabelTerms
    boosting: BoostingTerms | None = None
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
        if isinstance(given, dict) and given.get("protocol") == "secureboost":
            return {"boosting": {}, **given}
        return given

    @model_validator(mode="after")
    def _boosting_fits(self) -> Self:
        if (self.protocol == "secureboost") != (self.boosting is not None):
            raise ValueError("boosting: secureboost has it, and only secureboost")
        return self

    @property
    def outcome(self) -> Outcome:
        """What kind of thing is predicted."""
        if self.boosting is not None:
            return {"logistic": "binary", "squared": "number", "softmax": "classes"}[self.boosting.objective]  # type: ignore[return-value]
        return "number" if self.protocol == "linear" else "binary"

    def require_composition(self, roles: Iterable[str]) -> None:
        """Raise ValueError unless parties in these roles can train with the protocol; amendments must keep to it too."""
        held, protocol = list(roles), self.protocol
        if held.count("guest") != 1 or held.count("host") < 1 or held.count("arbiter") > 1:
            raise ValueError("parties: exactly one guest, at least one host and at most one arbiter are needed")
        if protocol not in ("logistic-guest", "secureboost") and "arbiter" not in held:
            raise ValueError(f"task.protocol: {protocol} needs an arbiter; logistic-guest and secureboost do without")
        if protocol == "logistic-guest" and held.count("host") == 1 and DIRECTION_WAIVER not in self.waivers:
            raise ValueError(
                f"task.protocol: with one host logistic-guest shows that host's directions to the guest; "
                f"use logistic-arbiter, or sign the waiver {DIRECTION_WAIVER}"
            )


class IdTerms(Strict):
    column: str
    canonical: Literal["text", "phone", "idcard", "date"] = "text"


class AlignmentTerms(Strict):
    id: list[IdTerms] = Field(min_length=1)
    duplicates: Literal["reject", "keep-latest", "mean"] = "reject"
    latest_by: str | None = None
    minimum_intersection: int = Field(100, ge=1)

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
    """What a prediction run pays for how well the published model does on labels that arrived since: smallest currency units."""

    budget: int = Field(ge=0)
    minimum_rows: int = Field(100, ge=1)


class IncentiveTerms(Strict):
    """What a training run pays, in the smallest currency units, and how it is divided (white paper, chapter 4)."""

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
        self.task.require_composition(self.roles().values())
        data = {name for name, party in self.parties.items() if party.role != "arbiter"}
        for field, names in (("scores", self.scores), ("tables", self.tables)):
            strangers = sorted(set(names) - data)
            if strangers:
                raise ValueError(f"{field}: {', '.join(strangers)} holds no data here; data parties: {', '.join(sorted(data))}")
        if self.incentives is not None:
            self._incentives_fit(self.incentives)
        if self.schedule is not None and not re.fullmatch(r"@\w+|(\S+\s+){4}\S+", self.schedule):
            raise ValueError("schedule: a cron expression of five fields, or @daily and the like")
        return self

    def _incentives_fit(self, incentives: IncentiveTerms) -> None:
        strangers = sorted(set(incentives.refunds) - set(self.parties))
        if strangers:
            raise ValueError(f"incentives.refunds: {', '.join(strangers)} is no party; parties: {', '.join(self.parties)}")
        if incentives.method == "shapley" and self.task.protocol == "secureboost":
            raise ValueError("incentives.method: trees have no score per party, so coalitions cannot be valued; use volume")
        blind = "arbiter" in self.roles().values() or COALITION_WAIVER in self.task.waivers
        if incentives.method == "shapley" and not blind:
            raise ValueError(
                "incentives.method: without an arbiter nobody may see coalitions' scores; "
                f"use volume, or sign the waiver {COALITION_WAIVER}"
            )
        if incentives.method == "volume" and incentives.live is not None:
            raise ValueError("incentives.live: it pays by what the model gains, which volume does not measure")

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
        return self.tables.get(party, TableTerms())

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
