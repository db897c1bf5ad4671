"""Who takes part in protocols over rows that lie with several clients, and what their terms must be; light, for descriptors."""

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
        raise ValueError("tables: clients' tables are alike; task.horizontal.features says what is in them")
    if terms.incentives is not None and terms.incentives.method != "volume":
        raise ValueError("incentives.method: nobody sees a client's part of a sum, so coalitions cannot be valued; use volume")
    if horizontal.step_seconds >= terms.deadlines.message:
        raise ValueError("horizontal.step_seconds: less than deadlines.message, for which clients wait for the aggregator")
    if task.label is not None and task.label.column in horizontal.features:
        raise ValueError("task.horizontal.features: the label is no feature; leave it out")
    if not trees and any(one.missing == "level" for one in horizontal.features.values()):
        raise ValueError("task.horizontal.features: missing can be level only with trees")
    if privacy:
        return
    if task.label is not None and task.label.range is not None:
        raise ValueError("task.label.range: it takes the place of statistics with task.privacy, and is of no use without")
    if not (trees or horizontal.quartiles) and any(one.range is not None for one in horizontal.features.values()):
        raise ValueError("task.horizontal.features: a range is of use for trees, quartiles and task.privacy only")
