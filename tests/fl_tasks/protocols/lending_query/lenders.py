"""A lending federation for tests: a bank that asks, lenders with tables of customers, and a register that matches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.federation import FOREVER, Federation, federation, quiet
from tombolo.fl_tasks.protocols.lending_query.asking import answers, propose_query, put_questions, query
from tombolo.fl_tasks.protocols.lending_query.building import index
from tombolo.fl_tasks.workflow.join import join
from tombolo.fl_tasks.workflow.validate import validate

Loans = Mapping[str, tuple[int, int]]
"""Open loans and exposure by id."""
BANK, REGISTER = "bank", "register"


def table(loans: Loans) -> pa.Table:
    ids = list(loans)
    return pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "open_loans": pa.array([loans[one][0] for one in ids], pa.int64()),
            "exposure": pa.array([loans[one][1] for one in ids], pa.int64()),
        }
    )


def lending(root: Path, lenders: Mapping[str, Loans], agreed: Mapping[str, Any] | None = None, **terms: Any) -> Federation:
    """The parties; ``terms`` are those of the query, ``agreed`` those beside it."""
    roles = {BANK: "guest", **dict.fromkeys(lenders, "host"), REGISTER: "arbiter"}
    asked = {"decryptor": next(iter(lenders)), "padding": 8, **terms}
    tables = {name: table(loans) for name, loans in lenders.items()}
    return federation(root, tables, roles=roles, protocol="lending-query", query=asked, **(agreed or {}))


def build(fed: Federation, run: str, base: str | None = None) -> str:
    """Build an index, or bring ``base`` up to date."""
    fed.start(run, "index", base)
    fed.stage(validate, run)
    fed.stage(index, run)
    return run


def replace_table(fed: Federation, party: str, loans: Loans) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table(loans), fed.root / party / "table.parquet")


def put(fed: Federation, ids: Sequence[str], receipts: Sequence[str] | None = None, name: str = "questions") -> str:
    """Seal questions at the bank; returns their handle."""
    given = receipts or [f"receipt of {one} in {name}" for one in ids]
    file = fed.root / BANK / f"{name}.csv"
    file.write_text("id,consent\n" + "".join(f"{one},{receipt}\n" for one, receipt in zip(ids, given, strict=True)))
    return put_questions(fed.context(BANK), file.name)


def begin(fed: Federation, run: str, handle: str, epoch: str | None = None) -> str:
    """Everything before the questions leave."""
    context = fed.context(BANK)
    propose_query(context, run, handle, epoch)
    fed.run_all(lambda party: join(fed.context(party), run, FOREVER, progress=quiet))
    return run


def ask(fed: Federation, run: str, ids: Sequence[str], receipts: Sequence[str] | None = None) -> dict[str, tuple[int, int]]:
    """Ask about a batch of people; loans and exposure by id."""
    fed.stage(query, begin(fed, run, put(fed, ids, receipts, run)))
    return {one["id"]: (one["loans"], one["exposure"]) for one in answers(fed.context(BANK), run)}


def truth(lenders: Mapping[str, Loans], one: str, unit: int = 1000) -> tuple[int, int]:
    """What the answer must be; each lender rounds its exposure."""
    import numpy as np

    found = [loans[one] for loans in lenders.values() if one in loans]
    return sum(count for count, _ in found), sum(int(np.round(exposure / unit)) for _, exposure in found) * unit
