"""The terms of an agreement: who takes part in what, under which limits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from tombolo.agreements.parameters import Parameter, Parameters, Value, choose
from tombolo.agreements.protocol import blamed
from tombolo.agreements.tables import Strict, TableTerms
from tombolo.agreements.task import COALITION_WAIVER, VERSION_1_SECTIONS, TaskTerms, read_task
from tombolo.storage.canonical import digest
from tombolo.storage.roles import HOLDERS

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Metric = Literal["auc", "ks", "accuracy", "logloss", "rmse", "r2"]
VERSION_1 = "tombolo.terms/1"
MOST_RETRAINED = 6
"""Most data parties for which every coalition may be trained anew: 30 further trainings."""


class PartyTerms(Strict):
    """A party's role."""

    role: Name


class IdTerms(Strict):
    """A column that ids are made of, and how it is spelled alike everywhere."""

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


class QualityTerms(Strict):
    """The quality that a model must reach to be published."""

    metric: Metric
    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.minimum is None) == (self.maximum is None):
            raise ValueError("give either minimum or maximum")
        return self


class LimitTerms(Strict):
    """The limits that keep single people out of what leaves a party (docs/security.md)."""

    minimum_batch: int = Field(256, ge=1)
    minimum_one_hot_count: int = Field(10, ge=1)
    maximum_leverage: float = Field(0.1, gt=0, le=1)
    minimum_bin_rows: int = Field(20, ge=1)
    minimum_leaf_rows: int = Field(20, ge=1)
    minimum_rows_per_weight: int = Field(128, ge=10)
    minimum_numbers_per_weight: int = Field(15, ge=1)
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
    refunds: dict[Name, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
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

    schema_version: Literal["tombolo.terms/1", "tombolo.terms/2"] = Field(alias="schema")
    name: Name
    parties: dict[Name, PartyTerms]
    task: Annotated[SerializeAsAny[TaskTerms], BeforeValidator(read_task)]
    alignment: AlignmentTerms
    tables: dict[Name, TableTerms] = Field(default_factory=dict)
    scores: list[Name] = Field(default_factory=list)
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
        self._require_version()
        self.require_composition(self.roles().values())
        data = {name for name, party in self.parties.items() if party.role in HOLDERS}
        for field, names in (("scores", self.scores), ("tables", self.tables)):
            strangers = sorted(set(names) - data)
            if strangers:
                raise ValueError(f"{field}: {', '.join(strangers)} holds no data here; data parties: {', '.join(sorted(data))}")
        if self.task.descriptor.check is not None:
            with blamed(self.task.offered):
                self.task.descriptor.check(self)
        if self.incentives is not None:
            strangers = sorted(set(self.incentives.refunds) - set(self.parties))
            if strangers:
                raise ValueError(f"incentives.refunds: {', '.join(strangers)} is no party; parties: {', '.join(self.parties)}")
        if self.schedule is not None and not re.fullmatch(r"@\w+|(\S+\s+){4}\S+", self.schedule):
            raise ValueError("schedule: a cron expression of five fields, or @daily and the like")
        return self

    def _require_version(self) -> None:
        """The first version of terms knows Tombolo's own protocols, with the sections and waivers that they had."""
        if self.schema_version == VERSION_1 and self.task.offered.foreign:
            raise ValueError(f"task.protocol: {self.task.protocol} comes from a plug-in, which needs schema: tombolo.terms/2")

    def require_composition(self, roles: Iterable[str]) -> None:
        """Raise ValueError unless parties in these roles can train and settle by the terms; amendments must keep to it too."""
        held = list(roles)
        self.task.require_composition(held)
        if self.alignment.protocol == "kkrt" and held.count("guest") + held.count("host") != 2:
            raise ValueError("alignment.protocol: kkrt is for two data parties; use ring, or auto")
        if self.incentives is not None:
            self._require_evaluator(self.incentives, held)

    def _require_evaluator(self, incentives: IncentiveTerms, roles: list[str]) -> None:
        protocol, linear = self.task.descriptor, ("rmse", "r2")
        if incentives.metric is not None and (incentives.metric in linear) != (self.task.outcome == "number"):
            raise ValueError(f"incentives.metric: {protocol.name} is not measured by {incentives.metric}")
        if incentives.method == "volume":
            if incentives.live is not None:
                raise ValueError("incentives.live: it pays by what the model gains, which volume does not measure")
            return
        if protocol.unvalued is not None:
            raise ValueError(f"incentives.method: {protocol.unvalued}; use volume")
        if "arbiter" not in roles and COALITION_WAIVER not in self.task.waivers:
            raise ValueError(
                "incentives.method: without an arbiter nobody may see coalitions' scores; "
                f"use volume, or sign the waiver {COALITION_WAIVER}"
            )
        if incentives.absent == "retrain" and protocol.unretrained is not None:
            raise ValueError(f"incentives.absent: {protocol.unretrained}; use mean")
        if incentives.absent == "retrain" and sum(role in HOLDERS for role in roles) > MOST_RETRAINED:
            raise ValueError(f"incentives.absent: retraining is for {MOST_RETRAINED} data parties at most; use mean")

    def parameters(self) -> dict[str, Parameter]:
        """Every training parameter with its default and what is allowed."""
        return self.task.allowed_parameters()

    def choose(self, choices: Mapping[str, Any]) -> dict[str, Value]:
        """All parameters of a run from a form's choices; raises BadParameter."""
        return choose(self.parameters(), choices)

    def chosen(self, parameters: Mapping[str, Any]) -> Parameters:
        """A run's parameters, as its manifest has them, as an object of the protocol's own class."""
        return self.task.parameter_model.model_validate(dict(parameters))

    def roles(self) -> dict[str, str]:
        """Role by party, in the agreement's order."""
        return {name: party.role for name, party in self.parties.items()}

    def table(self, party: str) -> TableTerms:
        """The terms of one party's table."""
        horizontal = self.task.horizontal_terms
        return self.tables.get(party, TableTerms()) if horizontal is None else horizontal.table()

    def document(self) -> dict[str, Any]:
        """All fields with explicit defaults; parties as a list, because their order counts and canonical JSON would sort them."""
        plain = self.model_dump(mode="json", by_alias=True)
        plain["parties"] = [{"name": name, **party} for name, party in plain["parties"].items()]
        plain["task"]["parameters"] = {name: one.document() for name, one in self.parameters().items()}
        if self.schema_version == VERSION_1:
            plain["task"] = {**dict.fromkeys(VERSION_1_SECTIONS), **plain["task"]}
        return plain

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical terms: what is signed."""
        return digest(self.document())
