"""The descriptor of networks over clients' rows, with differential privacy where the terms ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tombolo.agreements.horizontal import HorizontalTerms, require_clients
from tombolo.agreements.protocol import Engine, Protocol, Section
from tombolo.fl_tasks.learning.horizontal.roles import CLIENTS, HORIZONTAL, KINDS, check_clients_terms
from tombolo.fl_tasks.learning.parameters import Averaged
from tombolo.fl_tasks.learning.terms import NetworkTerms, PrivacyTerms

if TYPE_CHECKING:
    from tombolo.agreements.terms import Terms


def _check(terms: Terms) -> None:
    task, horizontal = terms.task, terms.task.section(HorizontalTerms)
    private = task.optional(PrivacyTerms) is not None
    check_clients_terms(terms, privacy=private)
    if task.section(NetworkTerms).bottom is not None:
        raise ValueError("task.network.bottom: clients share one network; only vertical networks have units per party")
    if not private:
        return
    if horizontal.quartiles:
        raise ValueError("task.horizontal.quartiles: they are not private in the sense of task.privacy; leave them out")
    numbers = {name: one.range for name, one in horizontal.features.items() if one.levels is None}
    if task.outcome == "number" and task.label is not None:
        numbers["label"] = task.label.range
    unknown = [name for name, one in numbers.items() if one is None]
    if unknown:
        raise ValueError(f"task.privacy: without statistics of rows a range is needed for {', '.join(unknown)}")
    if task.parameters.get("patience") is not None:
        raise ValueError("task.parameters.patience: no loss is taken with task.privacy, so none says when to stop")


PROTOCOL = Protocol(
    name="horizontal-mlp",
    title="a network over clients' rows by federated averaging and secure aggregation",
    family="horizontal",
    roles=CLIENTS,
    kinds=KINDS,
    sections={
        "horizontal": HORIZONTAL,
        "network": Section(NetworkTerms, default={}),
        "privacy": Section(PrivacyTerms, optional=True),
    },
    engines={
        None: Engine(
            "tombolo.fl_tasks.protocols.horizontal_mlp.programs:PROGRAMS",
            Averaged,
            frozenset({"end.stop", "statistic.value", "training_loss.loss", "unmask.share", "weights.weight"}),
        )
    },
    composition=require_clients,
    check=_check,
    form="A network of dense layers over standardised columns",
    model="tombolo.fl_tasks.protocols.horizontal_mlp.model:MODEL",
    reference="tombolo.fl_tasks.protocols.horizontal_mlp.reference:REFERENCE",
    cost="tombolo.fl_tasks.protocols.horizontal_mlp.privacy:spent",
    state="tombolo.fl_tasks.protocols.horizontal_mlp.state:ITEMS",
    page="protocols/horizontal-mlp.md",
)
