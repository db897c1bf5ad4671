"""Validate stage: check the table with Tombolo's checks and the party's Great Expectations suite, before any of it is sent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tombolo.fl_tasks.models.reading import part_of_version
from tombolo.fl_tasks.runtime.aborts import ended_by
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter
from tombolo.fl_tasks.runtime.session import Progress, log_progress
from tombolo.fl_tasks.runtime.state import GIVEN_UP
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.tables.columns import ID, feature_columns, id_columns
from tombolo.fl_tasks.tables.encoding import MissingValues, NotFinite, UnusableColumn
from tombolo.fl_tasks.tables.pinned import ENCODED, encoded
from tombolo.fl_tasks.tables.prepared import Prepared, check_unchanged, pin_validated, prepare
from tombolo.fl_tasks.workflow.aligned import NoLabel, tableless
from tombolo.storage.errors import CodedError
from tombolo.storage.roles import LABELLED


class ValidationFailed(CodedError):
    code = "TMB-VALID-001"
    cause = "The table does not meet the party's expectation suite."
    remedy = "Read the validation page that is named here, and correct the table or the suite. Then start a new run."


class BadSuite(CodedError):
    code = "TMB-VALID-002"
    cause = "The expectation suite cannot be read, or names an expectation or a column that does not exist."
    remedy = 'A suite is JSON: {"name": ..., "expectations": [{"type": ..., "kwargs": {...}}]}; check it against the table.'


def validate(context: PartyContext, run: str, wait: Wait, progress: Progress = log_progress) -> dict[str, Any]:
    """Check this party's table and pin it, sealed. The run reads the source once; alignment later pins the rows that it needs.

    Rows for a prediction are pinned encoded. Returns ``{"rows", "expectations", "page"}`` (an empty dict where there is no table).
    Raises SourceChanged if this run has validated another table, and coded errors that name columns and counts of rows, never a
    value. The stage does not wait for any party, but an abort that a peer has already published ends it.
    """
    context.watch(run, wait).check_aborts(context.me)
    given_up = context.state(run).get(GIVEN_UP)
    if given_up is not None:
        raise ended_by(given_up, context.me)
    if tableless(context, run):
        return {}
    prepared = prepare(context, run)
    check_unchanged(context, run, prepared)
    invitation = context.manifest(run).invitation
    training = invitation.kind == "train"
    protocol = context.terms.task.descriptor
    if protocol.table_check is not None:
        protocol.load(protocol.table_check)(context, prepared)
    if training and context.role in LABELLED:
        _check_label(context, prepared.table)
    if training:
        _check_values(context, prepared.table)
    elif invitation.kind == "predict" and invitation.model:
        prepared = replace(prepared, table=_encoded(context, prepared.table, invitation.model))
    suite = _check_suite(context, run, prepared) if training or invitation.kind == "index" else {"expectations": 0, "page": None}
    if training:  # columns that the terms drop are not kept
        dropped = [name for name in context.terms.table(context.me).drop if name in prepared.table.column_names]
        prepared = replace(prepared, table=prepared.table.drop_columns(dropped))
    pin_validated(context, run, prepared)
    enter(context, run, "validation", "table", **prepared.facts, expectations=suite["expectations"])
    progress({"stage": "validate", "party": context.me, "rows": prepared.source_rows, "expectations": suite["expectations"]})
    return {"rows": prepared.source_rows, **suite}


def _check_label(context: PartyContext, table: pa.Table) -> None:
    """Labels and weights must be finite numbers. Labels of classes must be agreed classes.

    A column of a vertical agreement must hold every agreed class. Raises NoLabel.
    """
    task = context.terms.task
    if task.weight_column is not None:
        _finite_numbers(context, table, task.weight_column)
    name = task.label_column
    classes = set(_finite_numbers(context, table, name))
    if task.outcome != "number":
        known = {float(number) for number in range(task.classes if task.outcome == "classes" else 2)}
        every = task.horizontal_terms is None  # a client may have users of some classes only
        if classes - known or (every and known - classes):
            held = "every class" if every else "only classes"
            raise NoLabel(f"Column {name} must hold {held} from 0 to {len(known) - 1}, and no other value.", party=context.me)


def _finite_numbers(context: PartyContext, table: pa.Table, name: str) -> list[float]:
    """The different values of a column that must hold only finite numbers. Raises NoLabel."""
    if name not in table.column_names:
        raise NoLabel(f"Column {name} is not in the table.", party=context.me)
    column = table.column(name)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)):
        raise NoLabel(f"Column {name} is of type {column.type}.", party=context.me)
    values = pc.cast(column, pa.float64(), safe=False)
    if column.null_count or not np.isfinite(values.to_numpy()).all():
        raise NoLabel(f"Column {name} has missing or infinite values.", party=context.me)
    return [float(value) for value in pc.unique(values).to_pylist()]


def _check_values(context: PartyContext, table: pa.Table) -> None:
    """Refuse columns that are not in the table, infinite values, and missing values where the terms do not allow them."""
    terms = context.terms.table(context.me)
    for name in (*terms.drop, *terms.columns):
        if name not in table.column_names:
            raise UnusableColumn(f"Column {name} is named in the terms, but the table does not have it.", party=context.me)
    for name in feature_columns(context, table.column_names):
        if name not in table.column_names:
            raise UnusableColumn(f"Column {name} is not in the table.", party=context.me)
        column, declared = table.column(name), terms.columns.get(name)
        rejects = ((declared.missing if declared else None) or terms.missing) == "reject"
        if rejects and column.null_count:
            raise MissingValues(f"Column {name}: {column.null_count} rows.", party=context.me)
        if not pa.types.is_floating(column.type):
            continue
        values = column.to_numpy()
        bad = np.isinf(values) | (np.isnan(values) if rejects else False)
        if bad.any():
            raise NotFinite(f"Column {name}: {int(bad.sum())} rows.", party=context.me)


def _encoded(context: PartyContext, table: pa.Table, version: str) -> pa.Table:
    """Ids and encoded rows, by the model's encoder. Columns that the model does not use may hold anything."""
    try:
        x = encoded(part_of_version(context, version).encoder, table)
    except CodedError as error:
        raise error.at(context.me) from None
    return table.select([ID, *id_columns(context)]).append_column(ENCODED, x)


def _suite_path(context: PartyContext) -> Path | None:
    if context.agreement_settings.suite:
        return context.party_settings.path(context.agreement_settings.suite)
    default = context.agreement.folder / "suites" / f"{context.me}.json"
    return default if default.exists() else None


def _check_suite(context: PartyContext, run: str, prepared: Prepared) -> dict[str, Any]:
    path = _suite_path(context)
    if path is None:
        return {"expectations": 0, "page": None}
    from tombolo.fl_tasks.tables.expectations import run_suite  # imports Great Expectations, which takes seconds

    page = context.docs(run) / "validation"
    outcome = run_suite(path, prepared.table.drop_columns([ID]), page)
    if outcome is None:
        raise BadSuite(f"{path}.", party=context.me)
    if outcome.failed:
        what = "; ".join(f"{check.type} on {check.column or 'the table'}: {check.rows} rows" for check in outcome.failed)
        raise ValidationFailed(f"{what}. Page: {outcome.page}.", party=context.me)
    return {"expectations": outcome.count, "page": str(outcome.page)}
