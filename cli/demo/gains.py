"""The chart of gains in a terminal: the share of all positive rows that is reached if the rows with the best scores are asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tombolo.fl_tasks.learning.gains import PICTURE, gains_picture

_WIDTH = 40
_STEPS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)


def show_gains(report: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Print the gains of the federated model and of the guest's own model as bars, and draw them as a picture in ``folder``."""
    show(report, console)
    curves = {"together": report["gains"]["federated"], "the guest alone": report["gains"]["guest_only"]}
    (folder / PICTURE).write_text(gains_picture(curves, f"Gains of {report['agreement']} on held-out rows"), encoding="utf-8")
    console.print(f"The chart as a picture: {folder / PICTURE}", highlight=False, soft_wrap=True)


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print the gains of a report: what the guest's own model reaches, and what the federated model reaches in addition."""
    gains, lifts = report["gains"], report["lift"]
    table = Table(
        title="Gains on held-out rows: share of rows asked, best first, and share of all positive rows reached",
        title_justify="left",
    )
    for column in ("asked", "together", "guest alone"):
        table.add_column(column, justify="right")
    table.add_column("█ guest alone  ▒ more together  ┊ random choice")
    for share in _STEPS:
        at = gains["shares"].index(share)
        together, alone = gains["federated"][at], gains["guest_only"][at]
        table.add_row(f"{share:.0%}", f"{together:.1%}", f"{alone:.1%}", bar(together, alone, share))
    console.print(table)
    console.print(
        f"Lift in the best tenth: {lifts['federated']:.2f} together, {lifts['guest_only']:.2f} for the guest alone. With the same "
        f"number of offers, {lifts['federated'] / lifts['guest_only']:.2f} times as many positive rows are reached.",
        highlight=False,
    )


def bar(together: float, alone: float, random: float) -> Text:
    """One line of the chart: shares from 0 to 1 as blocks, with a mark at the share that a random choice reaches."""
    ends = [round(share * _WIDTH) for share in (alone, max(together, alone))]
    letters = "█" * ends[0] + "▒" * (ends[1] - ends[0])
    line = letters.ljust(_WIDTH)
    mark = round(random * _WIDTH)
    return Text(f"{line[:mark]}┊{line[mark + 1 :]}")
