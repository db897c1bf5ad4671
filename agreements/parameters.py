"""Training parameters: what the protocol declares, what the terms allow, and what one run chooses."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

from tombolo.storage.errors import CodedError

Value = int | float | str | bool | None


class BadParameter(CodedError):
    code = "TMB-TERMS-002"
    cause = "A parameter is unknown, or its value is outside what the terms allow."
    remedy = "Choose a value that the terms allow, or sign a new agreement with other terms."


class Parameters(BaseModel):
    """The parameters of a run. A protocol has a subclass; each field has a default, a range, a title and a description."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class TrainingParameters(Parameters):
    """The parameters that every training protocol has."""

    rounds: int = Field(
        40,
        ge=1,
        le=1000,
        title="Rounds",
        description="The largest number of training rounds. Training stops earlier when it has converged.",
    )
    test_fraction: float = Field(
        0.25, ge=0, le=0.9, title="Held-out fraction", description="The part of the rows that is kept for evaluation."
    )


@dataclass(frozen=True)
class Known:
    """What a protocol declares about a parameter: type, default, range or allowed words, and the texts for forms."""

    kind: type
    default: Value
    low: float | None
    high: float | None
    title: str
    description: str
    words: tuple[str, ...] = ()


def known(model: type[Parameters]) -> dict[str, Known]:
    """A protocol's parameters by name, sorted."""
    by_name: dict[str, Known] = {}
    for field, info in model.model_fields.items():
        bounds = {name: getattr(rule, name) for rule in info.metadata for name in ("ge", "le") if hasattr(rule, name)}
        kind, words = _kind(info.annotation)
        by_name[info.alias or field] = Known(
            kind, info.default, bounds.get("ge"), bounds.get("le"), info.title or field, info.description or "", words
        )
    return dict(sorted(by_name.items()))


def _kind(annotation: Any) -> tuple[type, tuple[str, ...]]:
    """The type of a field without None, and its allowed words if it is a choice of words."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(member for member in get_args(annotation) if member is not type(None))
    if get_origin(annotation) is Literal:
        return str, get_args(annotation)
    assert annotation in (int, float)
    return annotation, ()


@dataclass(frozen=True)
class Parameter:
    """One parameter under some terms: its default, and a range or a list of allowed values. Without both it is fixed."""

    name: str
    known: Known
    default: Value
    low: float | None = None
    high: float | None = None
    allowed: tuple[Value, ...] | None = None

    @property
    def fixed(self) -> bool:
        """Whether the terms allow only the default."""
        return self.low is None and self.high is None and self.allowed is None

    def document(self) -> Any:
        """The parameter as the canonical terms hold it."""
        if self.fixed:
            return self.default
        if self.allowed is not None:
            return {"default": self.default, "allowed": list(self.allowed)}
        return {"default": self.default, "min": self.low, "max": self.high}

    def choose(self, given: Any) -> Value:
        """The value for a run. Raises :class:`BadParameter` if the terms do not allow it."""
        value = _typed(self.name, self.known, given)
        if self.fixed and value != self.default:
            raise BadParameter(f"{self.name} is fixed by the terms.")
        if self.allowed is not None and value not in self.allowed:
            raise BadParameter(f"{self.name} must be one of {', '.join(map(str, self.allowed))}.")
        low, high = self.low, self.high
        if isinstance(value, int | float) and ((low is not None and value < low) or (high is not None and value > high)):
            raise BadParameter(f"{self.name} must lie between {low} and {high}.")
        return value


def parameters(given: Mapping[str, Any], model: type[Parameters], protocol: str) -> dict[str, Parameter]:
    """All parameters of a protocol, sorted by name; ``given`` is what the terms say about them. Raises :class:`BadParameter`."""
    every = known(model)
    unknown = sorted(set(given) - set(every))
    if unknown:
        raise BadParameter(f"{protocol} has no parameter {', '.join(unknown)}; it has {', '.join(every)}.")
    return {name: _parameter(name, declared, given.get(name, declared.default)) for name, declared in every.items()}


def choose(allowed: Mapping[str, Parameter], choices: Mapping[str, Any]) -> dict[str, Value]:
    """Every parameter with its chosen value, or its default. Raises :class:`BadParameter`."""
    unknown = sorted(set(choices) - set(allowed))
    if unknown:
        raise BadParameter(f"There is no parameter {', '.join(unknown)}; the parameters are {', '.join(allowed)}.")
    return {name: parameter.choose(choices[name]) if name in choices else parameter.default for name, parameter in allowed.items()}


def _parameter(name: str, known: Known, given: Any) -> Parameter:
    if not isinstance(given, Mapping):
        return Parameter(name, known, _typed(name, known, given))
    if set(given) == {"default", "allowed"} and isinstance(given["allowed"], list) and given["allowed"]:
        values = tuple(_typed(name, known, value) for value in given["allowed"])
        made = Parameter(name, known, _typed(name, known, given["default"]), allowed=values)
    elif set(given) == {"default", "min", "max"}:
        default, low, high = (_typed(name, known, given[end]) for end in ("default", "min", "max"))
        made = Parameter(name, known, default, low=low, high=high)  # type: ignore[arg-type]
    else:
        raise BadParameter(f"{name} needs one value, or default with min and max, or default with allowed.")
    made.choose(made.default)
    return made


def _typed(name: str, known: Known, value: Any) -> Value:
    """``value`` with the parameter's type. Raises :class:`BadParameter` if it is outside the protocol's own range."""
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
    if name == "key_bits" and typed % 1024:  # TaskTerms refuses keys that are too short
        raise BadParameter("key_bits must be 2048, 3072 or 4096.")
    return typed
