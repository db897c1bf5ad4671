"""An index and a query that are stopped at every wait, or killed at every message, end as if nothing had happened."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.federation import FOREVER, Federation, quiet
from tests.fl_tasks.protocols.lending_query.lenders import BANK, REGISTER, ask, begin, build, lending, put, truth
from tombolo.fl_tasks.protocols.lending_query.asking import answers, query
from tombolo.fl_tasks.protocols.lending_query.books import books
from tombolo.fl_tasks.protocols.lending_query.building import index
from tombolo.fl_tasks.protocols.lending_query.keys import Keeping
from tombolo.fl_tasks.runtime.waiting import Wait, Waiting
from tombolo.fl_tasks.workflow.abort import abort
from tombolo.fl_tasks.workflow.validate import validate

ROOT = Path(__file__).resolve().parents[4]
LENDERS = {
    "alpha": {"ann": (2, 12_000), "bob": (1, 1_000)},
    "beta": {"ann": (1, 3_000), "cid": (5, 70_000)},
    "gamma": {"ann": (4, 9_000), "bob": (1, 8_000)},
}
PEOPLE = ["ann", "bob", "nobody"]
STAGES = {"index": index, "query": query}

KILLED = """
import math, os, signal, sys
from pathlib import Path
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.workflow.parts import stage_function
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.storage.exchange import Exchange

settings, stage, run, left, after = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5] == "after"
real, sent = Exchange.send, []

def send(self, *words):
    sent.append(words)
    if len(sent) == left and not after:
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, *words)
    if len(sent) == left:
        os.kill(os.getpid(), signal.SIGKILL)

Exchange.send = send
context = PartyContext.open("trial", settings, 1024)
stage_function(context.terms.task, stage)(context, run, Wait(math.inf), progress=lambda _: None)
"""


def stopped_at_every_wait(fed: Federation, stage: str, run: str) -> dict[str, Any]:
    """The parties take turns; each works until a message is missing, forgets everything, and begins anew at its next turn."""
    results: dict[str, Any] = {}
    stops = 0
    while len(results) < len(fed.parties):
        assert stops < 200, "nobody gets any further"
        for party in [one for one in fed.parties if one not in results]:
            try:
                results[party] = STAGES[stage](fed.context(party), run, Wait(0), progress=quiet)
            except Waiting:
                stops += 1
    assert stops > len(fed.parties)
    return results


def sent(fed: Federation) -> dict[str, bytes]:
    stores = {party: fed.context(party).store for party in fed.parties}
    return {f"{party}/{key}": store.get(key) for party, store in stores.items() for key in store.list("to-")}


def counted(fed: Federation, party: str) -> dict[str, int]:
    """How many questions a party has in its books, by run."""
    keeping = Keeping(fed.context(party).state())
    return {one.run: len(one.digests) for book in books(keeping) for one in book.entries()}


def right(fed: Federation, run: str) -> bool:
    found = {one["id"]: (one["loans"], one["exposure"]) for one in answers(fed.context(BANK), run)}
    return found == {one: truth(LENDERS, one) for one in PEOPLE}


def test_stopped_at_every_wait(tmp_path):
    fed = lending(tmp_path, LENDERS, person_quota=1, asker_quota=3)
    fed.start("index-1", "index")
    fed.stage(validate, "index-1")
    stopped_at_every_wait(fed, "index", "index-1")
    begin(fed, "query-1", put(fed, PEOPLE))
    results = stopped_at_every_wait(fed, "query", "query-1")
    assert right(fed, "query-1")
    before = sent(fed)
    assert fed.stage(query, "query-1") == results  # the quotas are spent, by this very run
    assert sent(fed) == before
    assert all(counted(fed, party) == {"query-1": 3} for party in (*LENDERS, REGISTER))
    fed.start("index-2", "index")
    fed.stage(validate, "index-2")
    stopped_at_every_wait(fed, "index", "index-2")  # takes over who was asked about
    assert counted(fed, REGISTER) == {"query-1": 3}


@pytest.mark.slow
@pytest.mark.parametrize("victim", [BANK, "alpha", REGISTER])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_kill_9_at_every_message(tmp_path, victim, moment):
    """One party's process is killed at each message in turn, while an index with a predecessor is built and then asked."""
    fed = lending(tmp_path, LENDERS, person_quota=1, asker_quota=3, cooldown_hours=1)
    build(fed, "index-1")
    ask(fed, "query-1", ["cid"])
    fed.start("index-2", "index")
    fed.stage(validate, "index-2")
    assert killed_at_every_message(fed, victim, "index", "index-2", moment) > (victim != BANK)
    begin(fed, "query-2", put(fed, PEOPLE, name="second"))
    assert killed_at_every_message(fed, victim, "query", "query-2", moment) > 1
    assert right(fed, "query-2")
    assert counted(fed, victim) == ({} if victim == BANK else {"query-1": 1, "query-2": 3})


def killed_at_every_message(fed: Federation, victim: str, stage: str, run: str, moment: str) -> int:
    """How many processes it took."""
    others = [one for one in fed.parties if one != victim]
    with ThreadPoolExecutor(len(others)) as pool:
        results = [pool.submit(STAGES[stage], fed.context(one), run, FOREVER, progress=quiet) for one in others]
        for sends in count(1):
            words = [sys.executable, "-c", KILLED, str(fed.settings(victim)), stage, run, str(sends), moment]
            status = subprocess.run(words, timeout=60, check=False, cwd=ROOT).returncode
            if status != -signal.SIGKILL:
                break
        if status != 0:  # its peers must not wait for ever
            abort(fed.context(victim), run, RuntimeError("failed"))
        assert status == 0
        for result in results:
            result.result()
    return sends
