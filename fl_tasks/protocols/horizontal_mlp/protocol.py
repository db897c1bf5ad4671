"""The descriptor of networks over the rows of clients, with differential privacy if the terms ask for it."""

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
        raise ValueError(
            "task.network.bottom: leave it out; only vertical networks have units per party, and clients share one network"
        )
    if not private:
        return
    if horizontal.quartiles:
        raise ValueError("task.horizontal.quartiles: leave them out; quartiles do not have the privacy that task.privacy promises")
    numbers = {name: feature.range for name, feature in horizontal.features.items() if feature.levels is None}
    if task.outcome == "number" and task.label is not None:
        numbers["label"] = task.label.range
    unknown = [name for name, limits in numbers.items() if limits is None]
    if unknown:
        raise ValueError(
            f"task.privacy: give a range for {', '.join(unknown)}; with task.privacy no statistics of the rows are taken"
        )
    if task.parameters.get("patience") is not None:
        raise ValueError(
            "task.parameters.patience: leave it out; with task.privacy no loss is measured that could stop training early"
        )


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
            numbers="tombolo.fl_tasks.learning.horizontal.numbers:network",
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
