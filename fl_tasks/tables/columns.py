"""What a party's columns are for: ids, label and weight, and features."""

from __future__ import annotations

from collections.abc import Sequence

from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.storage.roles import LABELLED

ID = "__id"
"""The column with each row's id as the source spells it."""


def id_columns(context: PartyContext) -> list[str]:
    """The names that this party's table has for the agreed id columns."""
    return [context.agreement_settings.rename.get(agreed.column, agreed.column) for agreed in context.terms.alignment.id]


def feature_columns(context: PartyContext, names: Sequence[str]) -> list[str]:
    """The feature columns of a table. A horizontal agreement names them, in order; else they are all columns without other use."""
    if context.terms.task.horizontal_terms is not None:
        return list(context.terms.task.horizontal_terms.features)
    other = {ID, *id_columns(context), *target_columns(context), *context.terms.table(context.me).drop}
    other.add(context.terms.alignment.latest_by or ID)
    return [name for name in names if name not in other]


def target_columns(context: PartyContext) -> list[str]:
    """The columns of labels and weights, at a party that has them."""
    task = context.terms.task
    if context.role not in LABELLED:
        return []
    return [task.label_column, *([] if task.weight_column is None else [task.weight_column])]
