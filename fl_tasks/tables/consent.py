"""The consent list: ids whose owners did not agree, or asked for erasure, are left out before alignment."""

from __future__ import annotations

from pathlib import Path

from tombolo.agreements.terms import AlignmentTerms
from tombolo.fl_tasks.tables.ids import FORMS, composite
from tombolo.fl_tasks.tables.source import Unreadable


def withheld(path: Path | None, terms: AlignmentTerms) -> frozenset[str]:
    """The canonical ids to leave out; none without a list. The list has one id per line, with commas between the parts of a
    composite id."""
    if path is None:
        return frozenset()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise Unreadable(f"The consent list {path}.") from None
    ids = set()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            parts = line.split(",") if len(terms.id) > 1 else [line]
            if len(parts) != len(terms.id):
                raise Unreadable(f"The consent list {path}, line {number}: {len(terms.id)} parts are needed.")
            try:
                spelled = [FORMS[agreed.canonical](part) for agreed, part in zip(terms.id, parts, strict=True)]
            except ValueError:
                raise Unreadable(f"The consent list {path}, line {number}: not an id.") from None
            ids.add(spelled[0] if len(spelled) == 1 else composite(spelled))
    return frozenset(ids)
