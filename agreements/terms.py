"""The terms of an agreement: who takes part in what, under which limits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tombolo.agreements.parameters import VERTICAL_NETWORKS, Parameter, Value, choose, parameters
from tombolo.agreements.query import QueryTerms
from tombolo.agreements.tables import Strict, TableTerms
from tombolo.agreements.task import HorizontalTerms, TaskTerms
from tombolo.storage.canonical import digest

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Metric = Literal["auc", "ks", "accuracy", "logloss", "rmse", "r2"]
COALITION_WAIVER = "disclose-coalition-scores-to-guest"
MOST_RETRAINED = 6
"""Most data parties for which every coalition may be trained anew: 30 further trainings."""


class PartyTerms(Strict):
    role: Literal["guest", "host", "arbiter", "client", "aggregator"]


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

    schema_version: Literal["tombolo.terms/1"] = Field(alias="schema")
    name: Name
    parties: dict[Name, PartyTerms]
    task: TaskTerms
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
        self.require_composition(self.roles().values())
        data = {name for name, party in self.parties.items() if party.role not in ("arbiter", "aggregator")}
        if self.task.horizontal is not None:
            self._require_horizontal(self.task.horizontal)
        if self.task.query is not None:
            self._require_query(self.task.query)
        for field, names in (("scores", self.scores), ("tables", self.tables)):
            strangers = sorted(set(names) - data)
            if strangers:
                raise ValueError(f"{field}: {', '.join(strangers)} holds no data here; data parties: {', '.join(sorted(data))}")
        if self.task.transfer is not None and any(self.parties[name].role == "guest" for name in self.scores):
            raise ValueError("scores: transfer predicts for the host's own users, whom the guest need not know; name the host only")
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

    def _require_query(self, query: QueryTerms) -> None:
        if self.roles().get(query.decryptor) != "host":
            raise ValueError("query.decryptor: one of the hosts; the arbiter, who matches, must not be able to decrypt")
        for field, given in (("incentives", self.incentives), ("quality", self.quality), ("scores", self.scores)):
            if given:
                raise ValueError(f"{field}: nothing is trained under {self.task.protocol}")

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
        if self.task.transfer is not None:
            raise ValueError("incentives.method: with transfer nobody scores by itself, so coalitions cannot be valued; use volume")
        if protocol in ("secureboost", *VERTICAL_NETWORKS):
            raise ValueError(
                "incentives.method: trees and networks have no score per party, so coalitions cannot be valued; use volume"
            )
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
        return parameters(self.task.parameters, self.task.training)

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
