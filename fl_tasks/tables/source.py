"""Reads a party's table through the source that its settings name; ids are always read as text."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tombolo.agreements.settings import TABLES, Asked, TableSettings, TableSource
from tombolo.storage.errors import CodedError
from tombolo.storage.plugins import BrokenPlugin, find

if TYPE_CHECKING:
    import pyarrow as pa


class NoTable(CodedError):
    code = "TMB-TABLE-010"
    cause = "The party settings name no table for this step."
    remedy = "Add table (for training), predict_table or labels_table under this agreement in the party settings."


class Unreadable(CodedError):
    code = "TMB-TABLE-011"
    cause = "A table cannot be read."
    remedy = "Check the path, the format, or the connection and the query in the party settings."


def read_table(
    settings: TableSettings | None,
    base: Path,
    parameters: Mapping[str, Any],
    ids: Sequence[str],
    plugins: Collection[str] = (),
) -> pa.Table:
    """The whole table; columns named in ``ids`` are text. ``parameters`` (as_of, ...) go to an SQL query as bound values.

    The source may come from one of the distributions ``plugins``. Raises :class:`NoTable`, what
    :func:`tombolo.storage.plugins.find` raises, or :class:`Unreadable`, whose text names the file or connection and never a value.
    """
    if settings is None:
        raise NoTable()
    plugin = find(TABLES, settings.source, plugins)
    source: TableSource = plugin.offered
    try:
        source.check(settings)
        table = source.read(settings, Asked(base, ids, parameters))
        names = list(table.column_names)
    except CodedError:
        raise
    except Exception as error:  # a source may fail in any way; its text may quote the table
        raise BrokenPlugin(f"{settings.source} of {plugin.distribution}: {type(error).__name__}.") from None
    check_names(names, settings.path or f"Source {settings.source}")
    return table


def check_names(names: Sequence[str], where: str) -> None:
    """Raise :class:`Unreadable` if two columns have the same name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Unreadable(f"{where}: there is more than one column {', '.join(twice)}.")
