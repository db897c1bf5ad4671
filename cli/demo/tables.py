"""The files of a demo's party."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Tables:
    """One party's files: rows to train on, new rows to predict for, the later labels of the new rows, and a split file.

    All but the first are None where the party has no such file. Without a split file, held-out rows are drawn at random.
    """

    table: Path
    predict_table: Path | None = None
    labels_table: Path | None = None
    split: Path | None = None

    def settings(self) -> dict[str, Any]:
        """The agreement's section of the party's settings file. That file is in the same folder as the tables."""
        files = {"table": self.table, "predict_table": self.predict_table, "labels_table": self.labels_table}
        sources = {
            name: {"source": file.suffix.removeprefix("."), "path": file.name} for name, file in files.items() if file is not None
        }
        return sources if self.split is None else {**sources, "split": self.split.name}
