"""The steps of the lending demo: an index of all lenders' customers, three questions, and a list of what each party saw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tombolo.cli.demo.lenders import three_people, truth
from tombolo.cli.demo.runs import DemoFailed, Up, bytes_sent

_OWN_FILES = (".parquet", ".pyc")


def ask_lenders(up: Up) -> dict[str, Any]:
    """Build the index, ask about three people, and compare. Returns the content of the report. Raises DemoFailed."""
    import pandas as pd

    from tombolo.fl_tasks.protocols.lending_query.asking import answers, put_questions
    from tombolo.fl_tasks.protocols.lending_query.terms import QueryTerms
    from tombolo.fl_tasks.runtime.context import PartyContext

    federation, guest = up.federation, up.federation.initiator
    building = up.run("index")
    context = PartyContext.open(federation.agreement, federation.settings[guest])
    query = context.terms.task.section(QueryTerms)
    tables = {
        party: pd.read_parquet(federation.home(party) / "customers.parquet")
        for party, role in federation.roles.items()
        if role == "host"
    }
    people = three_people(tables)
    handle = put_questions(context, _write_questions(federation.home(guest), people.values()))
    asking = up.run("query", conf={"questions": handle})
    up.all_well()
    run = next(name for party, name in asking.runs.items() if party != guest)
    answered = {answer["id"]: answer for answer in answers(context, run)}
    up.show.say("searching the files of the five organisations for the ids of the three people")
    traces = [str(file.relative_to(federation.root)) for file in _written(federation.root) if _holds(file, people.values())]
    if traces:
        raise DemoFailed(f"an id of a question was found in {', '.join(traces)}")
    return {
        "run": run,
        "queries": [
            {
                "who": who,
                "answer": {name: answered[person][name] for name in ("loans", "exposure", "band")},
                "truth": truth(tables, person, query.unit),
            }
            for who, person in people.items()
        ],
        "saw": {
            party: _saw(PartyContext.open(federation.agreement, federation.settings[party]), run) for party in federation.roles
        },
        "customers": {party: len(table) for party, table in tables.items()},
        "seconds": {"index": building.seconds(guest)["total"], "query": asking.seconds(guest)["total"]},
        "bytes_sent": {
            "index": bytes_sent(federation, building.runs),
            "query": bytes_sent(federation, asking.runs),
        },
        "settlement": up.airflows[guest].xcom(asking.dag, asking.runs[guest], "settle"),
        "files_with_an_id": 0,
    }


def _write_questions(home: Path, people: Any) -> str:
    file = home / "questions.csv"
    file.touch(mode=0o600)
    lines = [f"{person},consent form {number}" for number, person in enumerate(people, 1)]
    file.write_text("\n".join(["person,consent", *lines]) + "\n", encoding="utf-8")
    return file.name


def _written(root: Path) -> list[Path]:
    """Every file in the demo's folder except the lenders' own tables. The file of plain questions is deleted first."""
    for file in root.glob("*/questions.csv"):
        file.unlink()
    return [file for file in root.rglob("*") if file.is_file() and file.suffix not in _OWN_FILES]


def _holds(file: Path, people: Any) -> bool:
    data = file.read_bytes()
    return any(person.encode() in data for person in people)


def _saw(context: Any, run: str) -> list[dict[str, Any]]:
    """The messages that a party received in the query. For each, what the declared message says that the party learns."""
    from tombolo.fl_tasks.protocols.lending_query.messages import QUERY

    entries = [entry for entry in context.books(run).entries("received") if entry.message in QUERY]
    return [
        {
            "message": entry.message,
            "from": entry.peer,
            "protected by": sorted(set(entry.kinds)),
            "learns": QUERY[entry.message].learns,
        }
        for entry in entries
    ]


def show_answers(report: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Print the answers next to the true values, and what each party saw."""
    table = Table(title="Questions of the bank, and the answers", title_justify="left")
    for name in ("a person", "open loans", "true value", "exposure", "true value", "shown as"):
        table.add_column(name, justify="left" if name in ("a person", "shown as") else "right")
    for query in report["queries"]:
        said, true = query["answer"], query["truth"]
        numbers = (str(said["loans"]), str(true["loans"]), f"{said['exposure']:,}", f"{true['exposure']:,}")
        table.add_row(query["who"], *numbers, said["band"])
    console.print(table)
    saw = Table(title="What each party saw of the query", title_justify="left")
    for name in ("party", "received", "from", "protected by", "learned"):
        saw.add_column(name, overflow="fold")
    for party, messages in report["saw"].items():
        for number, message in enumerate(messages):
            saw.add_row(
                "" if number else party, message["message"], message["from"], ", ".join(message["protected by"]), message["learns"]
            )
        saw.add_section()
    console.print(saw)
    seconds, sent = report["seconds"], report["bytes_sent"]
    console.print(
        f"Index of {sum(report['customers'].values()):,} customers: {seconds['index']:.0f} s and "
        f"{sum(sent['index'].values()) / 1e6:,.0f} MB. The query: {seconds['query']:.0f} s and "
        f"{sum(sent['query'].values()) / 1e6:.1f} MB; most of that time was waiting and settling. No file, log or database of the "
        f"five organisations contains an id that was asked about. The query is block {report['settlement']['height']}, signed by "
        f"{', '.join(report['settlement']['signers'])}.",
        highlight=False,
    )
