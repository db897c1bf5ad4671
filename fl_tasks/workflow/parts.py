"""The parts of an agreement's protocol, loaded when a stage needs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tombolo.agreements.task import TaskTerms
from tombolo.fl_tasks.models.family import HorizontalModel, Model, VerticalModel
from tombolo.fl_tasks.models.reference import Reference
from tombolo.fl_tasks.runtime.programs import AnyPrograms
from tombolo.storage.plugins import BrokenPlugin


def programs_of(task: TaskTerms) -> AnyPrograms:
    """The role programs on the agreed engine."""
    loaded = task.descriptor.load(task.descriptor.engine(task.engine).programs)
    return loaded  # type: ignore[no-any-return]


def model_of(task: TaskTerms) -> Model[Any, Any]:
    """What the protocol's models are."""
    return _loaded(task, task.descriptor.model, Model)  # type: ignore[no-any-return]


def vertical_model_of(task: TaskTerms) -> VerticalModel[Any, Any, Any]:
    """The same, of a protocol over columns of several parties."""
    return _loaded(task, task.descriptor.model, VerticalModel)  # type: ignore[no-any-return]


def horizontal_model_of(task: TaskTerms) -> HorizontalModel[Any, Any]:
    """The same, of a protocol over rows of several clients."""
    return _loaded(task, task.descriptor.model, HorizontalModel)  # type: ignore[no-any-return]


def reference_of(task: TaskTerms) -> Reference:
    """The protocol's plain twin."""
    return _loaded(task, task.descriptor.reference, Reference)  # type: ignore[no-any-return]


def _loaded(task: TaskTerms, part: str | None, kind: type) -> Any:
    found = None if part is None else task.descriptor.load(part)
    if not isinstance(found, kind):
        raise BrokenPlugin(f"{task.protocol} has no {kind.__name__}.")
    return found


def stage_function(task: TaskTerms, name: str) -> Callable[..., Any]:
    """A stage's function, of the protocol or of the workflow; imported now, so that a first stage does not wait for the last."""
    own = task.descriptor.stages.get(name)
    found: Callable[..., Any] = task.descriptor.load(own or f"tombolo.fl_tasks.workflow.{name}:{name}")
    return found
