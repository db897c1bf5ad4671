"""The terms of an agreement: who does what, with which limits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from tombolo.agreements.parameters import Parameter, Parameters, Value, choose
from tombolo.agreements.protocol import blamed
from tombolo.agreements.tables import Strict, TableTerms
from tombolo.agreements.task import COALITION_WAIVER, EXPOSURE_WAIVER, VERSION_1_SECTIONS, TaskTerms, read_task
from tombolo.storage.canonical import digest
from tombolo.storage.moments import CLOCKS_APART
from tombolo.storage.roles import HOLDERS

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Metric = Literal["auc", "ks", "accuracy", "logloss", "rmse", "r2"]
VERSION_1 = "tombolo.terms/1"
SINCE_VERSION_2 = {"alignment": ("maximum_ids",), "deadlines": ("clocks",), "limits": ("exposure", "row_bits")}
"""Fields of these sections that the first version does not have; its agreements have the defaults."""
MOST_RETRAINED = 6
"""The largest number of data parties for which every coalition may train its own model: 30 more trainings."""


class PartyTerms(Strict):
    """A party's role."""

    role: Name


class IdTerms(Strict):
    """A column of the ids, and the common spelling that its values are brought to."""

    column: str
    canonical: Literal["text", "phone", "idcard", "date"] = "text"


class AlignmentTerms(Strict):
    """Which ids are compared, and how (docs/alignment.md).

    ``auto`` means ``kkrt`` for two data parties if one of them has 100,000 ids or more, else ``ring``.
    """

    id: list[IdTerms] = Field(min_length=1)
    duplicates: Literal["reject", "keep-latest", "mean"] = "reject"
    latest_by: str | None = None
    minimum_intersection: int = Field(100, ge=1)
    maximum_ids: int = Field(1 << 27, ge=1, le=1 << 31)
    protocol: Literal["auto", "ring", "kkrt"] = "auto"

    @model_validator(mode="after")
    def _latest_needs_a_column(self) -> Self:
        if (self.duplicates == "keep-latest") != (self.latest_by is not None):
            raise ValueError("duplicates: keep-latest needs latest_by; with another value, leave latest_by out")
        return self


class QualityTerms(Strict):
    """The quality that a model must reach to be published."""

    metric: Metric
    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.minimum is None) == (self.maximum is None):
            raise ValueError("give either minimum or maximum, not both")
        return self


class LimitTerms(Strict):
    """Limits that keep facts about single people out of what a party sends (docs/security.md).

    ``exposure`` is how often more numbers and metrics may leave than the rules of docs/what-adds-up.md allow; more than 1 needs a
    waiver. ``row_bits`` is what one recipient may learn about one person by scores and similar values, over all runs.
    """

    minimum_batch: int = Field(256, ge=1)
    minimum_one_hot_count: int = Field(10, ge=1)
    maximum_leverage: float = Field(0.1, gt=0, le=1)
    minimum_bin_rows: int = Field(20, ge=1)
    minimum_leaf_rows: int = Field(20, ge=1)
    minimum_rows_per_weight: int = Field(128, ge=10)
    minimum_numbers_per_weight: int = Field(15, ge=1)
    minimum_row_difference: int = Field(100, ge=0)
    maximum_rounds_over_runs: int | None = Field(None, ge=1)
    exposure: float = Field(1.0, gt=0, le=10_000)
    row_bits: int = Field(10_000, ge=1)


class LeaverTerms(Strict):
    """People who leave (no consent any more, or no row) wait up to ``pool_days`` and leave together, with others if few."""

    pool_days: int = Field(30, ge=0, le=366)


class DeadlineTerms(Strict):
    """Seconds: the longest wait for one message, for the joins, for the end of a run, and for the votes on its block.

    ``clocks`` are the seconds that two parties' clocks may differ.
    """

    message: float = Field(3600, gt=0)
    join: float = Field(86400, gt=0)
    run: float = Field(172800, gt=0)
    settle: float = Field(3600, gt=0)
    clocks: float = Field(CLOCKS_APART, ge=0)


class LiveTerms(Strict):
    """What a prediction run pays for the quality of the published model on labels that arrived later, in smallest currency units.

    The payment is ``budget`` times (gain in use / gain at publication). Both gains are over the baseline; the ratio is at least 0
    and at most 1. The payment is rounded down, and divided by the contributions to the training run. The rest is not spent.
    Between two payments for one model, at least ``minimum_rows`` labelled rows must have arrived.
    """

    budget: int = Field(ge=0)
    minimum_rows: int = Field(100, ge=1)


class IncentiveTerms(Strict):
    """What a training run pays, in the smallest currency units, and how it is divided (white paper, chapter 4).

    Refunds are paid first. The rest is divided by the positive Shapley values of ``metric`` on the held-out rows. It is divided by
    data volume if ``method`` says so, or if no party has a positive value. ``absent`` says how a coalition is scored without a
    party: ``mean`` puts the party's mean score in its place, ``retrain`` trains a new model without it.
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
            raise ValueError("refunds: their sum is larger than the budget")
        return self


class RetentionTerms(Strict):
    """The days from a run's final block until its artifacts and its private objects about people are deleted. Hashes stay."""

    artifacts_days: int = Field(ge=0, le=36_500)


class Terms(Strict):
    """The first part of an agreement. Its amendments pin keys and stores."""

    schema_version: Literal["tombolo.terms/1", "tombolo.terms/2"] = Field(alias="schema")
    name: Name
    parties: dict[Name, PartyTerms]
    task: Annotated[SerializeAsAny[TaskTerms], BeforeValidator(read_task)]
    alignment: AlignmentTerms
    tables: dict[Name, TableTerms] = Field(default_factory=dict)
    scores: list[Name] = Field(default_factory=list)
    quality: QualityTerms | None = None
    limits: LimitTerms = LimitTerms()  # type: ignore[call-arg]
    leavers: LeaverTerms = LeaverTerms()  # type: ignore[call-arg]
    deadlines: DeadlineTerms = DeadlineTerms()  # type: ignore[call-arg]
    incentives: IncentiveTerms | None = None
    retention: RetentionTerms | None = None
    schedule: str | None = None
    joining: Literal["automatic", "approval"] = "automatic"
    leg: int = Field(5, ge=1)

    @model_validator(mode="after")
    def _parties_fit(self) -> Self:
        self._require_version()
        if self.limits.exposure > 1 and EXPOSURE_WAIVER not in self.task.waivers:
            raise ValueError(f"limits.exposure: above 1 it needs the waiver {EXPOSURE_WAIVER} in task.waivers")
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
                raise ValueError(f"incentives.refunds: {', '.join(strangers)} is not a party; parties: {', '.join(self.parties)}")
        if self.schedule is not None and not re.fullmatch(r"@\w+|(\S+\s+){4}\S+", self.schedule):
            raise ValueError("schedule: give a cron expression of five fields, or a word such as @daily")
        return self

    def _require_version(self) -> None:
        """Raise ValueError if terms of the first version name a plug-in's protocol, or have a field that is newer."""
        if self.schema_version != VERSION_1:
            return
        if self.task.offered.foreign:
            raise ValueError(f"task.protocol: {self.task.protocol} comes from a plug-in, which needs schema: tombolo.terms/2")
        for section, fields in SINCE_VERSION_2.items():
            for field in fields:
                if field in getattr(self, section).model_fields_set:
                    raise ValueError(f"{section}.{field}: it needs schema: tombolo.terms/2")
        if "leavers" in self.model_fields_set:
            raise ValueError("leavers: it needs schema: tombolo.terms/2")

    def require_composition(self, roles: Iterable[str]) -> None:
        """Raise ValueError unless parties with these roles can train and settle by the terms. Also checked after an amendment."""
        held = list(roles)
        self.task.require_composition(held)
        if self.alignment.protocol == "kkrt" and held.count("guest") + held.count("host") != 2:
            raise ValueError("alignment.protocol: kkrt needs exactly two data parties; use ring, or auto")
        if self.incentives is not None:
            self._require_evaluator(self.incentives, held)

    def _require_evaluator(self, incentives: IncentiveTerms, roles: list[str]) -> None:
        protocol, linear = self.task.descriptor, ("rmse", "r2")
        if incentives.metric is not None and (incentives.metric in linear) != (self.task.outcome == "number"):
            raise ValueError(f"incentives.metric: {incentives.metric} does not fit {protocol.name}; use another metric")
        if incentives.method == "volume":
            if incentives.live is not None:
                raise ValueError("incentives.live: it pays for the model's gain, and volume does not measure it; leave live out")
            return
        if protocol.unvalued is not None:
            raise ValueError(f"incentives.method: {protocol.unvalued}; use volume")
        if "arbiter" not in roles and COALITION_WAIVER not in self.task.waivers:
            raise ValueError(
                "incentives.method: without an arbiter no party may see the scores of coalitions; "
                f"use volume, or sign the waiver {COALITION_WAIVER}"
            )
        if incentives.absent == "retrain" and protocol.unretrained is not None:
            raise ValueError(f"incentives.absent: {protocol.unretrained}; use mean")
        if incentives.absent == "retrain" and sum(role in HOLDERS for role in roles) > MOST_RETRAINED:
            raise ValueError(f"incentives.absent: retrain is for at most {MOST_RETRAINED} data parties; use mean")

    def parameters(self) -> dict[str, Parameter]:
        """Every training parameter with its default and its allowed values."""
        return self.task.allowed_parameters()

    def choose(self, choices: Mapping[str, Any]) -> dict[str, Value]:
        """All parameters of a run from the choices in a form. Raises BadParameter."""
        return choose(self.parameters(), choices)

    def chosen(self, parameters: Mapping[str, Any]) -> Parameters:
        """The parameters of a run's manifest, as an object of the protocol's own class."""
        return self.task.parameter_model.model_validate(dict(parameters))

    def roles(self) -> dict[str, str]:
        """The role of each party, in the order of the terms."""
        return {name: party.role for name, party in self.parties.items()}

    def table(self, party: str) -> TableTerms:
        """The terms of one party's table."""
        horizontal = self.task.horizontal_terms
        return self.tables.get(party, TableTerms()) if horizontal is None else horizontal.table()

    def document(self) -> dict[str, Any]:
        """All fields, also the defaults. The parties are a list: their order counts, and canonical JSON would sort an object."""
        plain = self.model_dump(mode="json", by_alias=True)
        plain["parties"] = [{"name": name, **party} for name, party in plain["parties"].items()]
        plain["task"]["parameters"] = {name: parameter.document() for name, parameter in self.parameters().items()}
        if self.schema_version == VERSION_1:
            plain["task"] = {**dict.fromkeys(VERSION_1_SECTIONS), **plain["task"]}
            for section, fields in SINCE_VERSION_2.items():
                for field in fields:
                    del plain[section][field]
            del plain["leavers"]
        return plain

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical terms: what is signed."""
        return digest(self.document())
