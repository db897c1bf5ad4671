"""Live progress of a demo: one line per party with its task, rounds and loss. Without a terminal, plain lines."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column


class Display:
    """Shows the progress of a demo."""

    def __init__(self, console: Console, bars: Progress | None, parties: Iterable[str]) -> None:
        self._console, self._bars, self._began = console, bars, time.monotonic()
        self._tasks: dict[str, TaskID] = {}
        self._shown: dict[str, str] = {}
        if bars is not None:
            self._tasks = {party: bars.add_task("", total=None, party=party, doing="waiting") for party in parties}

    def say(self, text: str) -> None:
        """Print one line about the whole demo. In a terminal, a long line is cut at the edge."""
        line = f"[dim]{time.monotonic() - self._began:5.0f} s[/]  {text}"
        if self._console.is_terminal:
            self._console.print(line, highlight=False, no_wrap=True, overflow="ellipsis")
        else:
            self._console.print(line, highlight=False, soft_wrap=True)

    def party(self, party: str, doing: str, done: int | None = None, total: int | None = None) -> None:
        """Show what one party does now. The same text is not printed twice in a row."""
        if self._bars is not None:
            self._bars.update(self._tasks[party], doing=doing, completed=done, total=total)
        elif self._shown.get(party) != doing:
            self.say(f"{party}: {doing}")
        self._shown[party] = doing


@contextmanager
def display(console: Console, parties: Iterable[str]) -> Iterator[Display]:
    """A display: with bars in a terminal, with plain lines elsewhere."""
    names = list(parties)
    if not console.is_terminal:
        yield Display(console, None, names)
        return
    columns: tuple[Any, ...] = (
        SpinnerColumn(),
        TextColumn("[bold]{task.fields[party]:<14}"),
        BarColumn(bar_width=12),
        TextColumn("{task.fields[doing]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, expand=True) as bars:
        yield Display(console, bars, names)
