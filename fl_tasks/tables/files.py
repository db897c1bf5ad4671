"""Tables in files: Parquet and CSV."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tombolo.agreements.settings import Asked, TableSettings
from tombolo.fl_tasks.tables.source import Unreadable

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class File:
    """A source that reads one file of a format."""

    format: str

    def check(self, settings: TableSettings) -> None:
        if not settings.path or settings.connection or settings.query or settings.options:
            raise ValueError(f"source: {self.format} takes path")

    def read(self, settings: TableSettings, asked: Asked) -> pa.Table:
        import pyarrow as pa

        path = asked.folder / str(settings.path)
        try:
            if self.format == "parquet":
                import pyarrow.parquet as pq

                return pq.read_table(path)
            import pyarrow.csv as csv

            options = csv.ConvertOptions(column_types=dict.fromkeys(asked.ids, pa.string()), strings_can_be_null=True)
            return csv.read_csv(path, convert_options=options)
        except (OSError, pa.ArrowException) as error:
            raise Unreadable(f"{path} as {self.format}: {_reason(error)}.") from None


def _reason(error: Exception) -> str:
    """The kind of failure. The library's own text may quote the file, so only the parts without values are taken from it."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    safe = re.search(r"(Row #\d+: )?Expected \d+ columns, got \d+|Empty CSV file|invalid UTF8", str(error))
    return f"{safe.group()} (comma-separated UTF-8 text is needed)" if safe else type(error).__name__


PARQUET = File("parquet")
CSV = File("csv")
