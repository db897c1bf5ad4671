"""Alignment that is stopped at every wait and begun anew, as deferred and killed tasks are, ends as if nothing had happened."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.federation import FOREVER, Federation, federation, quiet
from tests.fl_tasks.workflow.test_pipeline import tables
from tombolo.fl_tasks.runtime.waiting import Wait, Waiting
from tombolo.fl_tasks.tables.encoding import Encoder
from tombolo.fl_tasks.tables.prepared import pin_validated, pinned
from tombolo.fl_tasks.tables.state import VALIDATED
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.aligned import LEARNT, SCORED, encoded_rows, encoder_document, load_aligned
from tombolo.fl_tasks.workflow.validate import validate
from tombolo.storage.exchange import Exchange

KKRT = {"alignment": {"id": [{"column": "id"}], "minimum_intersection": 20, "protocol": "kkrt"}}
WITHOUT_ARBITER = {"roles": {"clinic": "guest", "lab": "host", "mill": "host"}, "protocol": "logistic-guest"}


def stopped_at_every_wait(fed: Federation, run: str) -> tuple[dict[str, Any], int]:
    """The parties take turns; each works until a message is missing, forgets everything, and begins anew at its next turn."""
    results: dict[str, Any] = {}
    stops = 0
    while len(results) < len(fed.parties):
        assert stops < 100, "nobody gets any further"
        for party in [one for one in fed.parties if one not in results]:
            try:
                results[party] = align(fed.context(party), run, Wait(0), progress=quiet)
            except Waiting:
                stops += 1
    return results, stops


def sent(fed: Federation) -> dict[str, bytes]:
    stores = {party: fed.context(party).store for party in fed.parties}
    return {f"{party}/{key}": store.get(key) for party, store in stores.items() for key in store.list("to-")}


@pytest.fixture
def payloads(monkeypatch) -> dict[tuple[str, ...], list[str]]:
    """A hash of the columns of every try to send, by sender, recipient, round, step and message."""
    made: dict[tuple[str, ...], list[str]] = defaultdict(list)
    real = Exchange.send

    def send(self, message, recipient, round, columns):
        made[self.me.name, recipient, str(round), message.step, message.name].append(digest(columns))
        return real(self, message, recipient, round, columns)

    monkeypatch.setattr(Exchange, "send", send)
    return made


def digest(columns) -> str:
    plain = {name: one.to_pylist() if isinstance(one, pa.Array) else one for name, one in columns.items()}
    values = {name: one if isinstance(one, list) else [one] for name, one in plain.items()}
    return hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()


KILLED = """
import math, os, signal, sys
from pathlib import Path
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.storage.exchange import Exchange

settings, run, left, after = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "after"
real, sent = Exchange.send, []

def send(self, *words):
    sent.append(words)
    if len(sent) == left and not after:
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, *words)
    if len(sent) == left:
        os.kill(os.getpid(), signal.SIGKILL)

Exchange.send = send
align(PartyContext.open("trial", settings, 1024), run, Wait(math.inf), progress=lambda _: None)
"""


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["clinic", "lab"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_kkrt_survives_kill_9_at_every_message(tmp_path, payloads, monkeypatch, victim, moment):
    """One party's process is killed at each message in turn; what its peer read in all that time is what a replay sends."""
    fed = federation(tmp_path, tables(), limits={"maximum_leverage": 0.5}, **KKRT)
    run = fed.start()
    fed.stage(validate, run)
    validated = pinned(fed.context(victim), run)
    received = {}
    real = Exchange.fetch

    def fetch(self, message, sender, round, rows=None):
        receipt = real(self, message, sender, round, rows)
        if receipt is not None and sender == victim:
            columns = {name: receipt.table.column(name).combine_chunks().storage for name in receipt.table.column_names}
            received[sender, self.me.name, str(round), message.step, message.name] = digest(columns)
        return receipt

    monkeypatch.setattr(Exchange, "fetch", fetch)
    with ThreadPoolExecutor(len(fed.parties)) as pool:
        others = [one for one in fed.parties if one != victim]
        results = [pool.submit(align, fed.context(one), run, FOREVER, progress=quiet) for one in others]
        for sends in count(1):
            words = [sys.executable, "-c", KILLED, str(fed.settings(victim)), run, str(sends), moment]
            status = subprocess.run(words, check=False, cwd=Path(__file__).parents[3]).returncode
            if status != -signal.SIGKILL:
                break
        assert status == 0
        assert sends > 5
        rows = {result.result()["rows"] for result in results if result.result()}
    payloads.clear()
    for key in fed.context(victim).run_area(run).area("aligned").names():
        fed.context(victim).run_area(run).area("aligned").delete(key)
    fed.context(victim).state(run).delete(VALIDATED)
    pin_validated(fed.context(victim), run, validated)
    assert align(fed.context(victim), run, FOREVER, progress=quiet)["rows"] in rows
    replayed = {key: digests for key, digests in payloads.items() if key in received}
    assert len(replayed) == len(received) >= 5
    assert replayed == {key: [one] for key, one in received.items()}


@pytest.mark.parametrize(
    ("hosts", "terms"), [(1, {}), (1, KKRT), (2, {}), (2, WITHOUT_ARBITER)], ids=["pair", "kkrt", "ring", "no arbiter"]
)
def test_the_same_rows_in_the_same_order(tmp_path, payloads, hosts, terms):
    given = tables(hosts=hosts)
    fed = federation(tmp_path, given, limits={"maximum_leverage": 0.5}, **terms)
    run = fed.start()
    fed.stage(validate, run)
    results, stops = stopped_at_every_wait(fed, run)
    assert stops > len(fed.parties)
    assert any(len(tries) > 1 for tries in payloads.values())
    assert all(len(set(tries)) == 1 for tries in payloads.values())
    before = sent(fed)
    assert fed.stage(align, run) == results
    assert sent(fed) == before
    found = [load_aligned(fed.context(party), run) for party in fed.data_parties]
    orders = {tuple(one.casefold() for one in table.ids) for table in found}
    common = set.intersection(*({one.casefold() for one in table.column("id").to_pylist()} for table in given.values()))
    assert len(orders) == 1
    assert set(orders.pop()) == common
    assert len({table.test.tobytes() for table in found}) == 1


def test_rows_keep_their_own_values(tmp_path):
    given = tables(hosts=2)
    fed = federation(tmp_path, given, limits={"maximum_leverage": 0.5})
    run = fed.start()
    fed.stage(validate, run)
    fed.stage(align, run)
    for party in fed.data_parties:
        context = fed.context(party)
        aligned, encoder = load_aligned(context, run), Encoder.from_document(encoder_document(context, run))
        place = {one: at for at, one in enumerate(given[party].column("id").to_pylist())}
        source = given[party].take([place[one] for one in aligned.ids])
        for name, rows in ((LEARNT, ~aligned.test), (SCORED, aligned.test)):
            assert np.array_equal(encoded_rows(context, run, name), encoder.transform(source.filter(pa.array(rows))))
        kept = aligned.table.drop_columns(["__id"])
        assert set(kept.column_names) == ({"id", "label"} if party == "clinic" else {"id"})
        assert kept.equals(source.select(kept.column_names))
        assert len(set(aligned.ids)) == len(aligned.ids)
