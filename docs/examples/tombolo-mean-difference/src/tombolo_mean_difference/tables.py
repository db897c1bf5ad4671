"""A table source: files of one JSON object per line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tombolo.agreements.settings import Asked, TableSettings
from tombolo.fl_tasks.tables.source import Unreadable

if TYPE_CHECKING:
    import pyarrow as pa


class JsonLines:
    """``path`` names the file; ``options: {columns: [...]}`` chooses some of its columns."""

    def check(self, settings: TableSettings) -> None:
        if not settings.path or set(settings.options) - {"columns"}:
            raise ValueError("source: jsonlines takes path, and columns among its options")

    def read(self, settings: TableSettings, asked: Asked) -> pa.Table:
        import pyarrow as pa
        from pyarrow import json

        path = asked.folder / str(settings.path)
        try:
            table = json.read_json(path)
            return table.select([*asked.ids, *settings.options["columns"]]) if settings.options else table
        except (OSError, KeyError, pa.ArrowException) as error:  # the library's own text may quote the file
            raise Unreadable(f"{path} as JSON lines: {type(error).__name__}.") from None


JSON_LINES = JsonLines()
