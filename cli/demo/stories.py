"""The steps of each demo after its Airflows have started, and what is printed at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from tombolo.cli.demo.asking import ask_lenders, show_answers
from tombolo.cli.demo.gains import show_gains
from tombolo.cli.demo.horizontal import lose_a_client, show_clients
from tombolo.cli.demo.runs import Up
from tombolo.cli.demo.transfer import show_curve, transfer_and_diagnose
from tombolo.cli.demo.vertical import train_and_predict
from tombolo.cli.simulation.report import build, show

Show = Callable[[Mapping[str, Any], Path, Console], None]


def show_model(report: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Print the metrics of the model next to those of unprotected models of the same rows."""
    show(report, console)


@dataclass(frozen=True)
class Story:
    """``tell`` runs the steps and returns the facts. ``report`` makes the report of them. ``shows`` print it or draw pictures."""

    tell: Callable[[Up], dict[str, Any]]
    shows: tuple[Show, ...] = (show_model,)
    report: Callable[..., dict[str, Any]] = build


STORIES = {
    "wdbc": Story(train_and_predict),
    "marketing": Story(train_and_predict, (show_model, show_gains)),
    "hospitals": Story(lose_a_client, (show_model, show_clients)),
    "lending": Story(ask_lenders, (show_answers,), dict),
    "diagnosis": Story(transfer_and_diagnose, (show_model, show_curve)),
}
"""The steps by the name of the demo's agreement."""
