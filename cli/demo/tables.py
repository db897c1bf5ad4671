"""What a demo's party has on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tables:
    """One party's files: rows to train on, new rows to predict for, and, where the labels are, what became of the new ones."""

    table: Path
    predict_table: Path
    labels_table: Path | None = None

    def settings(self) -> dict[str, dict[str, str]]:
        """The table settings of the party's settings file, which lies beside the files."""
        files = {"table": self.table, "predict_table": self.predict_table, "labels_table": self.labels_table}
        return {
            name: {"source": file.suffix.removeprefix("."), "path": file.name} for name, file in files.items() if file is not None
        }
