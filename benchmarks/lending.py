"""The lending query: an index of three lenders' customers, a single question and a batch of a thousand.

``python -m benchmarks.lending [--quick] [OUTPUT.json]``. First only the arithmetic, in one process, in microseconds: per record at
each lender that it passes, per deposited record, and per question at each party (encryptions of zero are made before). Then whole
runs of five processes: seconds, CPU seconds and bytes of an index and of queries. The index has 100,000 and a million customers per
lender, or 10,000 with ``--quick``. For comparison, a simpler design in which the asker downloads every lender's table (2HashDH on
the same curve: a hash and an exponentiation per record, twelve bytes each), measured on a part and scaled up.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tombolo.fl_tasks.protocols.lending_query.terms import QueryTerms

LENDERS = ("leasing", "cards", "savings")
EXAMPLE = Path(__file__).parents[1] / "federations" / "lending"
BATCH, SAMPLE, TABLE_BYTES = 1000, 2000, 12
HOP_US, QUERY_MS = 150, 5.0


def timed(count: int, work: Callable[[], Any]) -> float:
    """CPU microseconds of ``work``, divided by ``count``."""
    began = time.process_time()
    work()
    return (time.process_time() - began) / count * 1e6


def arithmetic() -> dict[str, float]:
    """Microseconds of each operation at full key size."""
    from tombolo.fl_tasks.crypto import ristretto
    from tombolo.fl_tasks.crypto.masks import mask_residues, unmask
    from tombolo.fl_tasks.crypto.paillier import generate
    from tombolo.fl_tasks.crypto.prf import Prf
    from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt_residues, encrypt, fresh_zeros

    stream = Prf(bytes(32)).stream()
    scalar, ids = ristretto.random_scalar(stream), [f"person-{at}".encode() for at in range(SAMPLE)]
    points = ristretto.hash_all(ids, "bench")
    key = generate(2048)
    values = encrypt(key.public, range(SAMPLE))  # also makes the key's tables of powers
    few, masks = values[:100], mask_residues(key.public, 100, stream)
    zeros = fresh_zeros(key.public, 100)

    def hop() -> None:
        ristretto.exponentiate(ristretto.points_from_arrow(ristretto.points_to_arrow(points)), scalar)

    def ask() -> None:
        for person in ids[:100]:
            blind = ristretto.random_scalar(stream)
            point = ristretto.exponentiate(ristretto.hash_to_group(person, "bench"), blind)
            ristretto.validate(point)
            ristretto.exponentiate(point, ristretto.invert(blind))
        encrypt(key.public, masks)
        unmask(key.public, masks, masks)

    def match() -> None:
        ristretto.exponentiate(ristretto.points_from_arrow(ristretto.points_to_arrow(points[:3200])), scalar)
        sums = CipherVector.from_arrow(key.public, few.to_arrow())
        for _ in LENDERS:
            sums = sums + few
        sums.rerandomise_full(zeros)

    def open_sums() -> None:
        decrypt_residues(key, CipherVector.from_arrow(key.public, few.to_arrow()))

    return {
        "hop_us": timed(SAMPLE, hop),
        "deposit_us": timed(SAMPLE, lambda: encrypt(key.public, range(SAMPLE))),
        "table_us": timed(SAMPLE, lambda: ristretto.exponentiate(ristretto.hash_all(ids, "bench"), scalar)),
        "asker_us": timed(100, ask),
        "lender_us": timed(SAMPLE, hop),
        "arbiter_us": timed(100, match),
        "decryptor_us": timed(100, open_sums),
        "zero_us": timed(20, lambda: fresh_zeros(key.public, 20)),
    }


def tables(folder: Path, customers: int) -> dict[str, Path]:
    """Write the customers of three lenders (the next lender has half of them too) and a file with one question."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = {}
    for number, lender in enumerate(LENDERS):
        people = np.arange(customers) + number * (customers // 2)
        columns = {"person": [f"P{person:08d}" for person in people], "open_loans": people % 5, "exposure": people % 90_000}
        files[lender] = folder / f"{lender}.parquet"
        pq.write_table(pa.table(columns), files[lender])
    files["bank"] = questions(folder, 1, customers)
    return files


def questions(folder: Path, count: int, customers: int) -> Path:
    """Write a file with ``count`` questions. Returns its path."""
    file = folder / f"questions-{count}.csv"
    step = max(1, 2 * customers // count)
    asked = range(7 if count == 1 else 11, 2 * customers, step)
    rows = [f"P{person:08d},receipt {count}-{person}\n" for person in list(asked)[:count]]
    file.write_text("person,consent\n" + "".join(rows), encoding="utf-8")
    return file


def patient(folder: Path) -> Path:
    """Write the example's terms with longer deadlines, because the machine may do other work too."""
    import yaml

    terms = yaml.safe_load((EXAMPLE / "agreement.yaml").read_text(encoding="utf-8"))
    folder.mkdir()
    (folder / "agreement.yaml").write_text(
        yaml.safe_dump({**terms, "deadlines": {"message": 86_400, "join": 86_400}}), encoding="utf-8"
    )
    return folder


def whole(folder: Path, customers: int) -> dict[str, Any]:
    """Run an index and queries with five processes on this machine. Exits if an answer is wrong."""
    from tombolo.cli.simulation.driver import drive
    from tombolo.cli.simulation.layout import lay_out
    from tombolo.cli.simulation.lending import truth
    from tombolo.fl_tasks.protocols.lending_query.asking import answers, propose_query, put_questions
    from tombolo.fl_tasks.protocols.lending_query.building import propose_index
    from tombolo.fl_tasks.runtime.context import PartyContext

    laid = lay_out(patient(folder / "terms"), tables(folder, customers), None, folder / "run")
    for file in laid.settings.values():  # one worker: all work is in the party's own process, whose CPU time is measured
        file.write_text(file.read_text(encoding="utf-8") + "workers: 1\n", encoding="utf-8")
    places = {party: PartyContext.open(laid.agreement, file) for party, file in laid.settings.items()}
    context = places["bank"]
    unit, figures = laid.terms.task.section(QueryTerms).unit, {}

    def run(kind: str, name: str) -> None:
        outcomes = drive(laid.settings, laid.agreement, name, lambda party, event: None)
        figures[name] = {
            "seconds": max(outcome.seconds[kind] for outcome in outcomes.values()),
            "cpu": {party: outcome.cpu[kind] for party, outcome in outcomes.items()},
            "bytes": {party: sent(place, name, kind) for party, place in places.items()},
        }

    propose_index(context, "index")
    run("index", "index")
    true = truth(laid, "index")
    for count in (1, BATCH):
        propose_query(context, f"query-{count}", put_questions(context, str(questions(folder, count, customers))))
        run("query", f"query-{count}")
        for answer in answers(context, f"query-{count}"):
            if (answer["loans"], answer["exposure"]) != (true["loans"][answer["id"]], true["exposure"][answer["id"]] * unit):
                raise SystemExit("an answer is wrong")
    return figures


def sent(context: Any, run: str, kind: str) -> int:
    """Bytes of the protocol's artifacts, without those of the join and settle stages."""
    return sum(entry.size for entry in context.books(run).entries("sent") if f"/{kind}." in entry.address)


def show(pieces: dict[str, float], runs: dict[str, Any], console: Console) -> None:
    """Print the figures and their targets."""
    table = Table("arithmetic", title="The lending query, 2048-bit key", title_justify="left")
    table.add_column("us", justify="right")
    for name, us in pieces.items():
        table.add_row(name.removesuffix("_us"), f"{us:,.0f}")
    console.print(table)
    table = Table("customers per lender", "run", title="Whole runs of five processes", title_justify="left")
    for name in ("seconds", "CPU s, all", "MB, all"):
        table.add_column(name, justify="right")
    for size, by_run in runs.items():
        for name, costs in by_run.items():
            row = (costs["seconds"], sum(costs["cpu"].values()), sum(costs["bytes"].values()) / 1e6)
            table.add_row(f"{int(size):,}", name, *(f"{value:,.1f}" for value in row))
    console.print(table)
    slowest = max(pieces[f"{party}_us"] for party in ("asker", "lender", "arbiter", "decryptor")) / 1000
    console.print(
        f"per record and lender {pieces['hop_us']:.0f} us (target {HOP_US}); per question and party at most {slowest:.1f} ms"
    )
    console.print(f"if encryptions of zero are ready (target {QUERY_MS:g} ms)", highlight=False)


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10,000 customers per lender")
    parser.add_argument("output", nargs="?", type=Path)
    options = parser.parse_args()
    pieces, runs = arithmetic(), {}
    sizes = (10_000,) if options.quick else (100_000, 1_000_000)
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            runs[str(size)] = whole(Path(folder), size)
    first, size = runs[str(sizes[0])], sizes[0]
    ratios = {
        "lending_hop_vs_target": HOP_US / pieces["hop_us"],
        "lending_query_bytes_vs_table": size * len(LENDERS) * TABLE_BYTES / sum(first["query-1"]["bytes"].values()),
        "lending_index_cpu_vs_table": size * len(LENDERS) * pieces["table_us"] / 1e6 / sum(first["index"]["cpu"].values()),
    }
    show(pieces, runs, Console())
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        document = {"arithmetic": pieces, "runs": runs, "ratios": ratios}
        options.output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
