"""The terms of a task: what is learnt, by which protocol, and what it may disclose.

A protocol's descriptor says what it adds to these terms (:mod:`tombolo.agreements.protocol`). Each protocol has its own class of
task terms, made from the descriptor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, ClassVar, Self, TypeVar

from pydantic import Field, PrivateAttr, ValidationInfo, create_model, model_validator

from tombolo.agreements.horizontal import HorizontalTerms, Range
from tombolo.agreements.parameters import Parameter, Parameters, parameters
from tombolo.agreements.protocol import Offered, Outcome, Protocol, TaskSection, blamed, protocol_named
from tombolo.agreements.tables import Strict
from tombolo.storage.errors import CodedError

S = TypeVar("S", bound=TaskSection)
SHORTEST_KEY = 2048
"""The fewest bits of a Paillier key that terms may allow."""
COALITION_WAIVER = "disclose-coalition-scores-to-guest"
EXPOSURE_WAIVER = "expose-small-tables"
"""Signed by parties whose tables are so small that a training tells more about single rows than the rules allow."""
VERSION_1_SECTIONS = ("boosting", "horizontal", "network", "privacy", "query", "transfer")
"""The sections of every task of ``tombolo.terms/1``; they are null if the protocol does not have them."""
VERSION_1_WAIVERS = (
    "disclose-direction-to-guest",
    COALITION_WAIVER,
    "expose-features-to-colluding-arbiter",
    "expose-labels-and-features-by-split",
)


class LabelTerms(Strict):
    """The column of labels, and the public range of its numbers."""

    column: str
    range: Range | None = None


class TaskTerms(Strict):
    """What is learnt, by which protocol and engine, with which parameters and waivers."""

    protocol: str
    engine: str | None = None
    label: LabelTerms | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    waivers: list[str] = Field(default_factory=list)

    _offered: Offered = PrivateAttr()

    @classmethod
    def of(cls, given: Mapping[str, Any], context: Mapping[str, Any] | None = None) -> TaskTerms:
        """Task terms, of the class that is made for their protocol.

        In the ``context``, ``plugins`` are the distributions that the protocol may come from, in addition to Tombolo, and
        ``shortest_key`` replaces :data:`SHORTEST_KEY`. Raises pydantic's ValidationError, or NoSuchPlugin and similar errors if the
        protocol cannot be loaded.
        """
        offered = protocol_named(str(given["protocol"]), (context or {}).get("plugins", ()))
        with blamed(offered):
            task = task_model(offered.protocol).model_validate(dict(given), context=dict(context or {}))
        task._offered = offered
        return task

    @property
    def offered(self) -> Offered:
        """The protocol with its distribution and version."""
        return self._offered

    @property
    def descriptor(self) -> Protocol:
        """The protocol's descriptor."""
        return self._offered.protocol

    @property
    def sections(self) -> list[TaskSection]:
        """All sections of the protocol's own terms that are given."""
        held = (getattr(self, name) for name in self.descriptor.sections)
        return [section for section in held if section is not None]

    def section(self, model: type[S]) -> S:
        """The section of this class. Raises LookupError if there is none."""
        section = self.optional(model)
        if section is None:
            raise LookupError(f"{self.protocol} has no {model.__name__}")
        return section

    def optional(self, model: type[S]) -> S | None:
        """The section of this class; None if there is none."""
        return next((section for section in self.sections if isinstance(section, model)), None)

    @property
    def horizontal_terms(self) -> HorizontalTerms | None:
        """The terms of the common columns; None unless the agreement is horizontal."""
        return self.optional(HorizontalTerms)

    @property
    def label_column(self) -> str:
        """The column of labels. Only for agreements that train."""
        assert self.label is not None
        return self.label.column

    @property
    def weight_column(self) -> str | None:
        """The column of row weights; None if there is none."""
        return next((section.weight_column for section in self.sections if section.weight_column is not None), None)

    @property
    def classes(self) -> int:
        """The number of classes; 2 if the terms give none."""
        return next((section.class_count for section in self.sections if section.class_count is not None), 2)

    @property
    def outcome(self) -> Outcome:
        """The kind of outcome that is predicted."""
        outcomes = (section.predicts for section in self.sections if section.predicts is not None)
        return next(outcomes, self.descriptor.outcome)

    @property
    def computed(self) -> str:
        """The protocol and its engine, as text for people."""
        return f"{self.protocol} with engine {self.engine}" if self.engine else self.protocol

    @property
    def parameter_model(self) -> type[Parameters]:
        """The class of a run's parameters."""
        return self.descriptor.engine(self.engine).parameters

    def allowed_parameters(self) -> dict[str, Parameter]:
        """Every parameter with its default and its allowed values. Raises BadParameter."""
        return parameters(self.parameters, self.parameter_model, self.computed)

    def require_composition(self, roles: Iterable[str]) -> None:
        """Raise ValueError unless parties with these roles can train with the protocol. It is also checked after an amendment."""
        with blamed(self._offered):
            self.descriptor.require_composition(self, roles)


def read_task(given: Any, info: ValidationInfo) -> Any:
    """:meth:`TaskTerms.of` as a validator. Terms that name no protocol are returned as they are; pydantic refuses them."""
    if isinstance(given, Mapping) and isinstance(given.get("protocol"), str):
        return TaskTerms.of(given, info.context)
    return given


class _OfProtocol(TaskTerms):
    """The base of the classes that belong to a protocol."""

    PROTOCOL: ClassVar[Protocol]

    @model_validator(mode="before")
    @classmethod
    def _defaults_are_explicit(cls, given: dict[str, Any]) -> dict[str, Any]:
        known = {name: value for name, value in given.items() if value is not None or name not in (*VERSION_1_SECTIONS, "engine")}
        for name, section in cls.PROTOCOL.sections.items():
            held = known.get(name, {})
            if section.default is not None and isinstance(held, Mapping):
                known[name] = {**section.default, **held}
        return {"engine": cls.PROTOCOL.default_engine, **known}

    @model_validator(mode="after")
    def _engine_fits(self) -> Self:
        engine = self.PROTOCOL.engine(self.engine)
        if engine.waiver is not None and engine.waiver not in self.waivers:
            raise ValueError(f"engine: {engine.risk}; use another engine, or sign the waiver {engine.waiver}")
        return self

    @model_validator(mode="after")
    def _parameters_fit(self) -> Self:
        model = self.PROTOCOL.engine(self.engine).parameters
        for name, value in self.parameters.items():
            try:
                parameters({name: value}, model, self.computed)
            except CodedError as error:
                raise ValueError(f"parameters.{name}: {error.detail}") from None
        return self

    @model_validator(mode="after")
    def _keys_are_long(self, info: ValidationInfo) -> Self:
        shortest = (info.context or {}).get("shortest_key", SHORTEST_KEY)
        given = self.parameters.get("key_bits", shortest)
        if min(given.get("allowed") or [given["min"]] if isinstance(given, dict) else [given]) < shortest:
            raise ValueError("parameters.key_bits: key_bits must be 2048, 3072 or 4096.")
        return self

    @model_validator(mode="after")
    def _waivers_are_known(self) -> Self:
        engines = (engine.waiver for engine in self.PROTOCOL.engines.values() if engine.waiver)
        known = dict.fromkeys((*VERSION_1_WAIVERS, EXPOSURE_WAIVER, *self.PROTOCOL.waivers, *engines))
        unknown = [name for name in self.waivers if name not in known]
        if unknown:
            raise ValueError(f"waivers: {', '.join(unknown)} is unknown; known waivers: {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _label_fits(self) -> Self:
        if self.PROTOCOL.labelled != (self.label is not None):
            raise ValueError(f"label: {self.protocol} {'needs one' if self.PROTOCOL.labelled else 'has none; leave it out'}")
        return self


@cache
def task_model(protocol: Protocol) -> type[TaskTerms]:
    """The class of the task terms for a protocol."""
    fields: dict[str, Any] = {
        name: (section.model | None, None) if section.optional else (section.model, ...)
        for name, section in protocol.sections.items()
    }
    base = type(
        "_Base", (_OfProtocol,), {"PROTOCOL": protocol, "__module__": __name__, "__annotations__": {"PROTOCOL": ClassVar[Protocol]}}
    )
    return create_model(f"Task of {protocol.name}", __base__=base, **fields)
