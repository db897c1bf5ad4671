"""`tombolo query`: questions are sealed, asked from a terminal, and answered; nothing but the asker's own screen shows an id."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from tests.federation import FOREVER, quiet
from tests.fl_tasks.protocols.lending_query.lenders import BANK, build, lending
from tombolo.cli.query import app
from tombolo.fl_tasks.crypto.paillier import MIN_BITS
from tombolo.fl_tasks.protocols.lending_query.asking import query
from tombolo.fl_tasks.workflow.join import join, pending
from tombolo.fl_tasks.workflow.settle import settle

LENDERS = {name: {"ann": (at, 1_000 * at), f"{name}-only": (1, 500)} for at, name in enumerate(("alpha", "beta", "gamma"), 1)}


@pytest.fixture(scope="module")
def fed(tmp_path_factory):
    made = lending(tmp_path_factory.mktemp("query"), LENDERS, {"key_bits": MIN_BITS})
    build(made, "index-1")
    made.stage(settle, "index-1")
    return made


def invoke(fed, *words, typed=""):
    return CliRunner().invoke(app, [words[0], "trial", *words[1:], "--settings", str(fed.settings(BANK))], input=typed)


def answer(fed, party):
    """What a peer's Airflow does: see the invitation, join, take part, settle."""
    context, until = fed.context(party), time.monotonic() + 60
    while not (found := pending(context)):
        assert time.monotonic() < until, "no invitation came"
        time.sleep(0.05)
    (summons,) = found
    for stage in (join, query, settle):
        stage(fed.context(party), summons.run, FOREVER, progress=quiet)
    return summons


def test_a_question_from_a_terminal(fed, tmp_path):
    file = tmp_path / "people.csv"
    file.write_text("id,consent\nann,desk 3\nnobody,desk 4\n")
    peers = [party for party in fed.parties if party != BANK]
    with ThreadPoolExecutor() as pool:
        joined = [pool.submit(answer, fed, party) for party in peers]
        told = invoke(fed, "ask", str(file))
        (run,) = {one.result().run for one in joined}
    assert told.exit_code == 0, told.output
    assert [word for word in ("ann", "6,000", "3 or more", "nobody") if word not in told.output] == []
    again = invoke(fed, "answers", run)
    assert "6,000" in again.output
    assert fed.context(BANK).run_area(run).get("settled") is not None


def test_one_person_is_prompted_for_and_not_echoed(fed):
    told = invoke(fed, "put", typed="gamma-only\nform 9\n")
    assert told.exit_code == 0 and "gamma-only" not in told.output
    handle = told.output.split()[-1]
    assert len(handle) == 16 and int(handle, 16)


def test_a_lender_cannot_ask(fed, tmp_path):
    (tmp_path / "people.csv").write_text("id,consent\nann,desk 3\n")
    words = ["put", "trial", str(tmp_path / "people.csv"), "--settings", str(fed.settings("beta"))]
    error = CliRunner().invoke(app, words).exception
    assert "TMB-QUERY-010" in str(error)
