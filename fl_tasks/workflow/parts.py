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
    """The model class of the protocol: how its models are built, read and scored."""
    return _loaded(task, task.descriptor.model, Model)  # type: ignore[no-any-return]


def vertical_model_of(task: TaskTerms) -> VerticalModel[Any, Any, Any]:
    """The model class of a protocol over columns of several parties."""
    return _loaded(task, task.descriptor.model, VerticalModel)  # type: ignore[no-any-return]


def horizontal_model_of(task: TaskTerms) -> HorizontalModel[Any, Any]:
    """The model class of a protocol over rows of several clients."""
    return _loaded(task, task.descriptor.model, HorizontalModel)  # type: ignore[no-any-return]


def reference_of(task: TaskTerms) -> Reference:
    """The protocol's reference: the same model, trained in plain text on all rows in one place."""
    return _loaded(task, task.descriptor.reference, Reference)  # type: ignore[no-any-return]


def _loaded(task: TaskTerms, part: str | None, kind: type) -> Any:
    loaded = None if part is None else task.descriptor.load(part)
    if not isinstance(loaded, kind):
        raise BrokenPlugin(f"{task.protocol} has no {kind.__name__}.")
    return loaded


def stage_function(task: TaskTerms, name: str) -> Callable[..., Any]:
    """The function of a stage: the protocol's own, or the workflow's.

    It is imported when it is asked for, so that the first stage does not wait for the imports of the last one.
    """
    own = task.descriptor.stages.get(name)
    function: Callable[..., Any] = task.descriptor.load(own or f"tombolo.fl_tasks.workflow.{name}:{name}")
    return function
