"""Ids: one agreed spelling per person or thing, before anything is hashed (canonical forms, version 1)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tombolo.agreements.terms import AlignmentTerms
from tombolo.storage.errors import CodedError


class NoIdColumn(CodedError):
    code = "TMB-ALIGN-001"
    cause = "The table lacks an id column of the agreement, or it does not hold text."
    remedy = "Name the column in the party settings (rename), and give ids as text: numbers lose leading zeros."


class BadId(CodedError):
    code = "TMB-ALIGN-002"
    cause = "Some ids are empty or have no canonical form."
    remedy = "Correct or remove these rows at their source."


class DuplicateIds(CodedError):
    code = "TMB-ALIGN-003"
    cause = "Some ids occur more than once in their canonical form."
    remedy = "Keep one row per id, or use an agreement with duplicates: keep-latest or mean."


def text(value: str) -> str:
    """NFKC, case folded, without invisible format characters, inner white space as one blank, trimmed."""
    folded = unicodedata.normalize("NFKC", value)
    while (again := _fold(folded)) != folded:  # one step can make another one possible
        folded = again
    return " ".join(folded.split())


def _fold(value: str) -> str:
    return unicodedata.normalize("NFKC", "".join(char for char in value.casefold() if unicodedata.category(char) != "Cf"))


def phone(value: str) -> str:
    """E.164: an international number as + and digits, without the (0) that some write; raises ValueError."""
    plain = re.sub(r"\(0\)|[\s().\-/]", "", unicodedata.normalize("NFKC", value))
    plain = "+" + plain[2:] if plain.startswith("00") else plain
    if not re.fullmatch(r"\+[0-9]{6,15}", plain, re.ASCII):
        raise ValueError("not an international phone number")
    return plain


def idcard(value: str) -> str:
    """Letters and digits only, upper case; raises ValueError."""
    plain = re.sub(r"[\s.\-]", "", unicodedata.normalize("NFKC", value)).upper()
    if not re.fullmatch(r"[0-9A-Z]{4,32}", plain, re.ASCII):
        raise ValueError("not an id card number")
    return plain


def iso_date(value: str) -> str:
    """The day of an ISO 8601 date or date and time; raises ValueError."""
    return datetime.fromisoformat(unicodedata.normalize("NFKC", value).strip()).date().isoformat()


FORMS: dict[str, Callable[[str], str]] = {"text": text, "phone": phone, "idcard": idcard, "date": iso_date}


def composite(parts: Sequence[str]) -> str:
    """One key of several parts, each with its length in front so that no two tuples collide."""
    return "|".join(f"{len(part)}:{part}" for part in parts)


def canonical_ids(table: pa.Table, terms: AlignmentTerms, columns: Sequence[str]) -> list[str]:
    """The canonical id of every row; ``columns`` are this table's names of the agreed id columns. Raises coded errors."""
    parts: list[list[str]] = []
    for agreed, name in zip(terms.id, columns, strict=True):
        if name not in table.column_names:
            raise NoIdColumn(f"Column {name}.")
        parts.append(_part(as_text(table.column(name), name), name, FORMS[agreed.canonical]))
    return parts[0] if len(parts) == 1 else [composite(row) for row in zip(*parts, strict=True)]


def as_text(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """An id column as text. It may hold text, dates (as ISO 8601) or nothing; raises :class:`NoIdColumn` for other types."""
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if pa.types.is_date(column.type) or pa.types.is_null(column.type):
        return pc.cast(column, pa.string())
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise NoIdColumn(f"Column {name} is of type {column.type}.")
    return column


def _part(column: pa.ChunkedArray, name: str, form: Callable[[str], str]) -> list[str]:
    ids, bad = [], 0
    for value in column.to_pylist():
        try:
            spelled = form(value) if value is not None else ""
        except ValueError:
            spelled = ""
        bad += not spelled
        ids.append(spelled)
    if bad:
        raise BadId(f"Column {name}: {bad} rows.")
    return ids


def unique(table: pa.Table, ids: list[str], terms: AlignmentTerms) -> tuple[pa.Table, list[str]]:
    """The table with one row per id, by the agreed policy, in order of first occurrence. Raises :class:`DuplicateIds`."""
    keys, first, inverse, counts = np.unique(np.array(ids), return_index=True, return_inverse=True, return_counts=True)
    if len(keys) == len(ids):
        return table, ids
    if terms.duplicates == "reject":
        raise DuplicateIds(f"{int((counts > 1).sum())} ids.")
    if terms.duplicates == "keep-latest":
        rows = _latest(table, inverse, len(keys), str(terms.latest_by))
    else:
        rows = first
        table = _means(table, inverse, len(keys), first)
        return table.take(pa.array(np.argsort(first, kind="stable"))), [str(keys[i]) for i in np.argsort(first, kind="stable")]
    order = np.argsort(rows, kind="stable")
    return table.take(pa.array(rows[order])), [str(keys[i]) for i in order]


def _latest(table: pa.Table, group: npt.NDArray[np.intp], groups: int, by: str) -> npt.NDArray[np.intp]:
    """The row with the greatest ``by`` of every group; the later row wins a tie."""
    if by not in table.column_names:
        raise NoIdColumn(f"Column {by}.")
    rank = np.empty(len(group), dtype=np.int64)
    rank[pc.sort_indices(table, sort_keys=[(by, "ascending", "at_start")]).to_numpy()] = np.arange(len(group))
    order = np.lexsort((rank, group))
    last = np.flatnonzero(np.diff(np.append(group[order], groups)))
    return order[last]


def _means(table: pa.Table, group: npt.NDArray[np.intp], groups: int, first: npt.NDArray[np.intp]) -> pa.Table:
    """Numeric columns averaged per group, other columns from the first row; rows in the groups' order."""
    columns = []
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            values = pc.cast(column, pa.float64(), safe=False).to_numpy()
            present = ~np.isnan(values)
            sums = np.bincount(group, np.where(present, values, 0.0), groups)
            counts = np.bincount(group, present, groups)
            columns.append(pa.array(np.divide(sums, counts, out=np.full(groups, np.nan), where=counts > 0), from_pandas=True))
        else:
            columns.append(column.take(pa.array(first)))
    return pa.table(columns, names=table.column_names)
