"""The descriptor of the lending query: runs build an index or ask it questions; nothing is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tombolo.agreements.protocol import Engine, Protocol, Role, Section
from tombolo.fl_tasks.learning.parameters import Encrypted
from tombolo.fl_tasks.protocols.lending_query.terms import FEWEST_LENDERS, MOST_LENDERS, QueryTerms

if TYPE_CHECKING:
    from tombolo.agreements.terms import Terms


def _check(terms: Terms) -> None:
    if terms.roles().get(terms.task.section(QueryTerms).decryptor) != "host":
        raise ValueError("task.query.decryptor: name one of the hosts; the arbiter matches, so it must not be able to decrypt")
    for field, given in (("incentives", terms.incentives), ("quality", terms.quality), ("scores", terms.scores)):
        if given:
            raise ValueError(f"{field}: leave it out, because lending-query trains nothing")


PROTOCOL = Protocol(
    name="lending-query",
    title="the lending query: ask all lenders about a person and learn the sum",
    family="query",
    kinds=("index", "query"),
    roles=(Role("guest"), Role("host", least=FEWEST_LENDERS, most=MOST_LENDERS, tables=("index",)), Role("arbiter")),
    sections={"query": Section(QueryTerms)},
    labelled=False,
    engines={None: Engine("tombolo.fl_tasks.protocols.lending_query.messages:PROGRAMS", Encrypted, frozenset())},
    check=_check,
    state="tombolo.fl_tasks.protocols.lending_query.state:ITEMS",
    page="protocols/lending.md",
    table_check="tombolo.fl_tasks.protocols.lending_query.customers:check_table",
    stages={
        "index": "tombolo.fl_tasks.protocols.lending_query.building:index",
        "query": "tombolo.fl_tasks.protocols.lending_query.asking:query",
    },
    proposals={
        "index": "tombolo.fl_tasks.protocols.lending_query.building:proposed",
        "query": "tombolo.fl_tasks.protocols.lending_query.asking:proposed",
    },
    message_sets={"lending-index": "tombolo.fl_tasks.protocols.lending_query.messages:INDEX"},
)
