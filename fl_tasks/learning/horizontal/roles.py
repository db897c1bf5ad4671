"""The roles of protocols over the rows of several clients, and a check of their terms. Descriptors use it; it imports little."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tombolo.agreements.horizontal import HorizontalTerms
from tombolo.agreements.protocol import Role, Section

if TYPE_CHECKING:
    from tombolo.agreements.terms import Terms

CLIENTS = (Role("client", least=3, most=None, tables=("train", "predict", "score")), Role("aggregator"))
KINDS = ("train", "predict", "score")
HORIZONTAL = Section(HorizontalTerms)


def check_clients_terms(terms: Terms, trees: bool = False, privacy: bool = False) -> None:
    """Raise ValueError on terms that do not fit clients; ``trees`` take missing values as a level, ``privacy`` needs ranges."""
    task, horizontal = terms.task, terms.task.section(HorizontalTerms)
    if terms.tables:
        raise ValueError("tables: remove it; task.horizontal.features says what is in the tables of all clients")
    if terms.incentives is not None and terms.incentives.method != "volume":
        raise ValueError("incentives.method: nobody sees a client's part of a sum, so coalitions cannot be valued; use volume")
    if horizontal.step_seconds >= terms.deadlines.message:
        raise ValueError(
            "horizontal.step_seconds: must be less than deadlines.message, the time that clients wait for the aggregator"
        )
    if task.label is not None and task.label.column in horizontal.features:
        raise ValueError("task.horizontal.features: leave out the label; it is not a feature")
    if not trees and any(column.missing == "level" for column in horizontal.features.values()):
        raise ValueError("task.horizontal.features: missing can be level only with trees")
    if privacy:
        return
    if task.label is not None and task.label.range is not None:
        raise ValueError("task.label.range: remove it; it is used only with task.privacy")
    if not (trees or horizontal.quartiles) and any(column.range is not None for column in horizontal.features.values()):
        raise ValueError("task.horizontal.features: remove range; it is used only for trees, quartiles and task.privacy")
