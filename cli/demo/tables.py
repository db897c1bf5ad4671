"""What a demo's party has on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Tables:
    """One party's files: rows to train on, new rows to predict for where it brings some, what became of the new ones where it comes
    to know that, and which rows are held out where that is not left to chance."""

    table: Path
    predict_table: Path | None = None
    labels_table: Path | None = None
    split: Path | None = None

    def settings(self) -> dict[str, Any]:
        """The settings of the agreement in the party's settings file, which lies beside the files."""
        files = {"table": self.table, "predict_table": self.predict_table, "labels_table": self.labels_table}
        sources = {
            name: {"source": file.suffix.removeprefix("."), "path": file.name} for name, file in files.items() if file is not None
        }
        return sources if self.split is None else {**sources, "split": self.split.name}
