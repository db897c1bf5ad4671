"""Live progress of a simulated run: one line per party with stage, round and loss. Without a terminal, plain lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from tombolo.cli.simulation.driver import Listener


@contextmanager
def progress(console: Console, roles: Mapping[str, str], rounds: int) -> Iterator[Listener]:
    """A listener for :func:`tombolo.cli.simulation.driver.drive`; ``rounds`` is the largest number of training rounds."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("[bold]{task.fields[party]}[/] [dim]{task.fields[role]}[/]"),
        TextColumn("{task.fields[stage]}"),
        BarColumn(bar_width=12),
        TextColumn("{task.fields[facts]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, expand=True) as bars:
        tasks = {
            party: bars.add_task("", total=rounds, party=party, role=role, stage="starting", facts="")
            for party, role in roles.items()
        }
        yield _Bars(bars, tasks, rounds)


class _Bars:
    def __init__(self, bars: Progress, tasks: Mapping[str, TaskID], rounds: int) -> None:
        self._bars, self._tasks, self._rounds = bars, tasks, rounds

    def __call__(self, party: str, event: Mapping[str, Any]) -> None:
        task = self._tasks[party]
        match event["event"]:
            case "stage":
                self._bars.update(task, stage=event["stage"], facts="")
            case "facts":
                self._bars.update(task, facts=_facts(event), completed=event.get("round"))
            case "end":
                self._bars.update(task, stage="done", completed=self._rounds, facts="")


class _Lines:
    """Prints a line for every stage of every party, and one line per round: that of the first party that reports a loss."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rounds: set[Any] = set()

    def __call__(self, party: str, event: Mapping[str, Any]) -> None:
        match event["event"]:
            case "done":
                self._say(f"{party}: {event['stage']} done in {event['seconds']:.1f} s")
            case "facts" if "loss" in event and event.get("round") not in self._rounds:
                self._rounds.add(event.get("round"))
                self._say(f"{party}: {_facts(event)}")

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)


def _facts(event: Mapping[str, Any]) -> str:
    """Round and loss, or the few numbers that a stage reports."""
    shown = {name: value for name, value in event.items() if name not in ("event", "stage", "party") and value is not None}
    return ", ".join(f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}" for name, value in shown.items())[:60]
