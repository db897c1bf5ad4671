"""A lending query with all parties on this machine: an index, one batch of questions, the answers, and the true values."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tombolo.cli.simulation.display import progress
from tombolo.cli.simulation.driver import Outcome, drive
from tombolo.cli.simulation.layout import Layout, Misuse
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.storage.roles import GUEST, HOST


def build_and_ask(laid: Layout, questions: Path, choices: Mapping[str, Any], stamp: str, console: Console) -> dict[str, Any]:
    """Build an index and ask the questions. Returns the report. Raises Misuse, RunFailed or a coded error."""
    from tombolo.fl_tasks.protocols.lending_query.asking import answers, propose_query, put_questions
    from tombolo.fl_tasks.protocols.lending_query.questions import Questions
    from tombolo.fl_tasks.protocols.lending_query.terms import QueryTerms
    from tombolo.fl_tasks.workflow.join import invite
    from tombolo.storage.errors import CodedError

    asker = next(party for party, role in laid.roles.items() if role == GUEST)
    context = PartyContext.open(laid.agreement, laid.settings[asker])
    try:
        handle = put_questions(context, str(questions.resolve()))
    except CodedError as error:
        raise Misuse(f"{questions}: {' '.join(str(error).split())}") from None
    index, query = f"index-{stamp}", f"query-{stamp}"
    began = time.monotonic()
    with progress(console, laid.roles, 1) as listen:
        invite(context, index, "index", choices)
        built = drive(laid.settings, laid.agreement, index, listen)
        propose_query(context, query, handle, index)
        asked = drive(laid.settings, laid.agreement, query, listen)
    true, sealed = truth(laid, index), Questions.load(context.state(), handle)
    canonical = dict(zip(sealed.shown, sealed.ids, strict=True))
    unit = laid.terms.task.section(QueryTerms).unit
    queries = [
        {
            "answer": {name: answer[name] for name in ("loans", "exposure", "band")},
            "truth": dict(zip(("loans", "exposure", "lenders"), _scaled(true, canonical[answer["id"]], unit), strict=True)),
        }
        for answer in answers(context, query)
    ]
    return {
        "agreement": laid.agreement,
        "protocol": laid.terms.task.protocol,
        "index": _facts(built, index),
        "query": _facts(asked, query),
        "queries": queries,
        "seconds": time.monotonic() - began,
    }


def truth(laid: Layout, run: str) -> dict[str, Counter[str]]:
    """The true loans, exposure (in units) and number of lenders of each canonical id, computed from the lenders' tables."""
    from tombolo.fl_tasks.protocols.lending_query.customers import Customers, unpack
    from tombolo.fl_tasks.protocols.lending_query.terms import QueryTerms
    from tombolo.fl_tasks.tables.prepared import prepare

    query, totals = laid.terms.task.section(QueryTerms), {name: Counter[str]() for name in ("loans", "exposure", "lenders")}
    for party, role in laid.roles.items():
        if role == HOST:
            prepared = prepare(PartyContext.open(laid.agreement, laid.settings[party]), run)
            customers = Customers.of(prepared.table, prepared.ids, query)
            for customer, value in zip(customers.ids, customers.values.tolist(), strict=True):
                loans, exposure = unpack(value)
                totals["loans"][customer] += loans
                totals["exposure"][customer] += exposure
                totals["lenders"][customer] += 1
    return totals


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print the answers next to the true values, and the cost of the two runs."""
    table = Table("question", title="Answers and true values", title_justify="left")
    for name in ("loans", "exposure", "band", "truth: loans", "exposure", "lenders"):
        table.add_column(name, justify="right")
    for number, query in enumerate(report["queries"], 1):
        told, true = query["answer"], query["truth"]
        words = (told["loans"], told["exposure"], told["band"], true["loans"], true["exposure"], true["lenders"])
        table.add_row(str(number), *(f"{word:,}" if isinstance(word, int) else word for word in words))
    console.print(table)
    costs = Table("", title="Cost", title_justify="left")
    for name in ("seconds, index", "seconds, query", "bytes sent, index", "bytes sent, query"):
        costs.add_column(name, justify="right")
    for party in report["index"]["parties"]:
        row = [report[kind]["parties"][party] for kind in ("index", "query")]
        costs.add_row(party, *(f"{run['seconds']:.1f}" for run in row), *(f"{run['bytes_sent']:,}" for run in row))
    console.print(costs)


def _scaled(true: Mapping[str, Counter[str]], customer: str, unit: int) -> tuple[int, int, int]:
    return true["loans"][customer], true["exposure"][customer] * unit, true["lenders"][customer]


def _facts(outcomes: Mapping[str, Outcome], run: str) -> dict[str, Any]:
    parties = {
        party: {
            "seconds": outcome.seconds[run.split("-", 1)[0]],
            "cpu_seconds": outcome.cpu[run.split("-", 1)[0]],
            "bytes_sent": sum(outcome.bytes_to.values()),
            "artifacts_sent": outcome.artifacts,
        }
        for party, outcome in outcomes.items()
    }
    return {"run": run, "parties": parties}
