"""The descriptor of boosted trees over the rows of clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tombolo.agreements.horizontal import require_clients
from tombolo.agreements.protocol import Engine, Protocol, Section
from tombolo.fl_tasks.learning.horizontal.roles import CLIENTS, HORIZONTAL, KINDS, check_clients_terms
from tombolo.fl_tasks.learning.parameters import Boosted
from tombolo.fl_tasks.learning.terms import BoostingTerms

if TYPE_CHECKING:
    from tombolo.agreements.terms import Terms


def _check(terms: Terms) -> None:
    check_clients_terms(terms, trees=True)
    if terms.task.section(BoostingTerms).model_dump(exclude_defaults=True).keys() - {"objective", "classes"}:
        raise ValueError("task.boosting: with horizontal-trees this section says objective and classes only; leave out the rest")


PROTOCOL = Protocol(
    name="horizontal-trees",
    title="horizontal boosted trees by secure aggregation",
    family="horizontal",
    roles=CLIENTS,
    kinds=KINDS,
    sections={"horizontal": HORIZONTAL, "boosting": Section(BoostingTerms, default={})},
    engines={
        None: Engine(
            "tombolo.fl_tasks.protocols.horizontal_trees.programs:PROGRAMS",
            Boosted,
            frozenset(
                {
                    "splits.column",
                    "splits.cut",
                    "splits.gain",
                    "splits.missing_left",
                    "splits.next",
                    "splits.node",
                    "statistic.value",
                    "unmask.share",
                    "values.cover",
                    "values.value",
                    "verdict.kept",
                    "verdict.loss",
                    "verdict.stop",
                    "verdict.validation",
                }
            ),
            numbers="tombolo.fl_tasks.learning.trees.numbers:horizontal",
        )
    },
    composition=require_clients,
    check=_check,
    form="A sum of trees over binned columns",
    model="tombolo.fl_tasks.protocols.horizontal_trees.model:MODEL",
    reference="tombolo.fl_tasks.learning.trees.reference:HORIZONTAL",
    state="tombolo.fl_tasks.protocols.horizontal_trees.state:ITEMS",
    page="protocols/horizontal-trees.md",
)
