"""A page for people about the training rows of all clients together. It is made from secure sums, the same at every party."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tombolo.agreements.terms import Terms
from tombolo.fl_tasks.learning.horizontal.columns import Statistics, expanded
from tombolo.fl_tasks.learning.horizontal.quantiles import Quartile, quartiles_of
from tombolo.fl_tasks.learning.horizontal.statistics import statistics_of
from tombolo.fl_tasks.pages.rendering import render
from tombolo.fl_tasks.runtime.context import PartyContext

PAGE = "training-rows"


def write_page(context: PartyContext, run: str) -> Path:
    """Write the page beside the run's documents, once, readable by the owner only. Raises ForeignStatistics if there are none."""
    path = context.docs(run) / PAGE / "index.html"
    if not path.exists():
        kept = context.state(run, "train")
        text = page(context.terms, statistics_of(kept), quartiles_of(kept), len(context.terms.roles()) - 1)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        part = path.with_name(".page")
        part.write_text(text, encoding="utf-8")
        part.chmod(0o600)
        part.replace(path)
    return path


def page(terms: Terms, found: Statistics, quartiles: Mapping[str, Sequence[Quartile]], clients: int) -> str:
    """The page as HTML. Counts below ``limits.minimum_one_hot_count`` are not shown, nor statistics of so few values."""
    least, rows = terms.limits.minimum_one_hot_count, round(found.rows)
    numbers, levels = [], []
    for at, (name, level) in enumerate(expanded(terms)):
        if level:
            column, _, value = name.partition("=")
            levels.append((column, value, *_share(round(found.mean[at] * rows), rows, least)))
        else:
            numbers.append((name, *_number(found, at, least), *_quartiles(quartiles.get(name) or (), found.present[at] >= least)))
    return render("training-rows.html", terms=terms, rows=rows, clients=clients, numbers=numbers, levels=levels)


def _number(statistics: Statistics, at: int, least: int) -> tuple[str, ...]:
    """Values, share of missing ones, mean and deviation."""
    rows, present = round(statistics.rows), round(statistics.present[at])
    if present < least:
        return f"fewer than {least}", "", "", ""
    deviation = statistics.scale[at] * np.sqrt(rows / present)
    missing = rows - present
    share = "none" if not missing else f"fewer than {least}" if missing < least else f"{missing / rows:.1%}"
    return (
        f"{present:,}" if not 0 < missing < least else f"more than {rows - least:,}",
        share,
        f"{statistics.mean[at]:.5g}",
        f"{deviation:.5g}",
    )


def _quartiles(quartiles: Sequence[Quartile], enough: bool) -> list[str]:
    """The quartiles with their largest errors; empty texts if the run has none."""
    if not quartiles or not enough:
        return ["", "", ""]
    return [f"{q.value:.5g} ± {q.error:.1g}" if q.error is not None else f"{q.value:.5g} or beyond" for q in quartiles]


def _share(ones: int, rows: int, least: int) -> tuple[str, str]:
    """How many rows have a level, and their share of all."""
    if ones < least:
        return f"fewer than {least}", ""
    if rows - ones < least:
        return f"more than {rows - least:,}", ""
    return f"{ones:,}", f"{ones / rows:.1%}"
