"""An index and its questions: answers are the truth, guards refuse, replays change nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.federation import FOREVER, TEST_BITS, quiet
from tests.fl_tasks.protocols.lending_query.lenders import BANK, REGISTER, ask, begin, build, lending, put, replace_table, truth
from tombolo.fl_tasks.crypto.errors import WeakKey
from tombolo.fl_tasks.protocols.lending_query import guards
from tombolo.fl_tasks.protocols.lending_query.asking import answers, query
from tombolo.fl_tasks.protocols.lending_query.books import Book, books
from tombolo.fl_tasks.protocols.lending_query.building import index
from tombolo.fl_tasks.protocols.lending_query.errors import (
    AskerQuotaSpent,
    BadCustomers,
    BadQuestions,
    ConsentMissing,
    CoolingDown,
    NoIndex,
    PersonQuotaSpent,
)
from tombolo.fl_tasks.protocols.lending_query.guards import GRACE
from tombolo.fl_tasks.protocols.lending_query.keys import Keeping
from tombolo.fl_tasks.protocols.lending_query.questions import Questions
from tombolo.fl_tasks.protocols.lending_query.terms import QueryTerms
from tombolo.fl_tasks.runtime.waiting import PeerAborted
from tombolo.fl_tasks.workflow.retain import retain
from tombolo.fl_tasks.workflow.settle import settle

LENDERS = {
    "alpha": {f"a{at}": (1, 5_000) for at in range(9)} | {"ann": (2, 12_400), "bob": (0, 0)},
    "beta": {f"b{at}": (3, 1_000_000) for at in range(5)} | {"ann": (1, 3_500)},
    "gamma": {f"c{at}": (1, 700) for at in range(17)} | {"ann": (4, 99_999_000), "cid": (7, 4_294_967_000_000)},
}


@pytest.fixture(scope="module")
def fed(tmp_path_factory):
    """One index that several tests ask; each asks about people of its own."""
    made = lending(tmp_path_factory.mktemp("lending"), LENDERS, person_quota=2)
    build(made, "index-1")
    made.stage(settle, "index-1")
    return made


def test_answers_are_the_truth_and_the_run_is_settled(fed):
    found = ask(fed, "query-1", ["ann", "cid", "nobody"])
    assert found == {one: truth(LENDERS, one) for one in ("ann", "cid", "nobody")}
    assert found["nobody"] == (0, 0)
    shown = {one["id"]: one["band"] for one in answers(fed.context(BANK), "query-1")}
    assert shown == {"ann": "3 or more", "cid": "3 or more", "nobody": "0"}
    facts = fed.stage(settle, "query-1")
    assert len({one["block"] for one in facts.values()}) == 1
    for party in fed.parties:
        (entry,) = [one for one in fed.context(party).chain.entries("query-1") if one.kind == "query"]
        assert (entry.subject, entry.body) == ("index-1", {"questions": 3})


def test_a_repeated_stage_changes_nothing(fed):
    begin(fed, "query-2", put(fed, ["a0", "b0"]))
    first = fed.stage(query, "query-2")
    assert fed.stage(query, "query-2") == first
    for party in fed.parties:
        context = fed.context(party)
        keeping = Keeping(context.state())
        if party != BANK:
            (entry,) = [one for one in Book(keeping, "index-1", "index-1").entries() if one.run == "query-2"]
            assert len(entry.digests) == 2
    assert {one["id"]: one["loans"] for one in answers(fed.context(BANK), "query-2")} == {"a0": 1, "b0": 3}
    assert fed.stage(index, "index-1")["alpha"]["lenders"] == 3


def test_a_kept_key_is_no_longer_good_where_it_is_too_short(fed):
    for party in ("alpha", REGISTER, BANK):
        strict = Keeping(fed.context(party).state())
        with pytest.raises(WeakKey, match="1024 bits"):
            strict.public_key("index-1")
    with pytest.raises(WeakKey, match="1024 bits"):
        Keeping(fed.context("alpha").state()).private_key("index-1", TEST_BITS)


def test_a_person_has_a_quota_in_an_epoch(fed):
    ask(fed, "person-1", ["c0"])
    ask(fed, "person-2", ["c0", "c1"])
    with pytest.raises(PersonQuotaSpent):
        ask(fed, "person-3", ["c2", "c0"])
    assert ask(fed, "person-4", ["c2"]) == {"c2": (1, 1000)}  # nothing of the refused batch was counted


def test_a_receipt_is_for_one_question(fed):
    ask(fed, "receipt-1", ["c3"], ["one receipt"])
    with pytest.raises(BadQuestions):
        put(fed, ["c4", "c5"], ["same", "same"])
    with pytest.raises(BadQuestions):
        put(fed, ["c4", "c4"])
    with pytest.raises(BadQuestions):
        put(fed, ["c4"], [""])


def test_a_used_commitment_is_refused(fed):
    state = fed.context(BANK).state()
    for run, one in (("commitment-1", "c6"), ("commitment-2", "c7")):
        begin(fed, run, Questions([one], [one], ["paper 6"], ["07" * 32]).seal(state))
    fed.stage(query, "commitment-1")
    with pytest.raises(ConsentMissing):
        fed.stage(query, "commitment-2")


def test_an_asker_has_a_quota_over_runs(tmp_path):
    fed = lending(tmp_path, LENDERS, asker_quota=3, batch=2)
    build(fed, "index-1")
    ask(fed, "query-1", ["ann", "bob"])
    with pytest.raises(AskerQuotaSpent):
        ask(fed, "query-2", ["a1", "a2"])
    ask(fed, "query-3", ["a1"])
    with pytest.raises(BadQuestions):
        put(fed, ["a3", "a4", "a5"])


def test_refusals_are_heard_by_all_and_in_the_record(tmp_path):
    fed = lending(tmp_path, LENDERS, asker_quota=1)
    build(fed, "index-1")
    with pytest.raises(AskerQuotaSpent):
        ask(fed, "query-1", ["ann", "bob"])
    with pytest.raises(PeerAborted):
        query(fed.context(REGISTER), "query-1", FOREVER, progress=quiet)
    aborts = [one for one in fed.context("alpha").chain.entries("query-1") if one.kind == "abort"]
    assert "TMB-QUERY-004" in str(aborts)
    assert "ann" not in str(aborts)


def test_an_update_answers_anew_and_waits_for_the_cool_down(tmp_path):
    lenders = {name: dict(loans) for name, loans in LENDERS.items()}
    fed = lending(tmp_path, lenders, cooldown_hours=1)
    build(fed, "index-1")
    assert ask(fed, "query-1", ["ann"]) == {"ann": truth(lenders, "ann")}
    lenders["alpha"]["new"] = (1, 2_000)
    lenders["beta"]["ann"] = (9, 1_000)
    del lenders["gamma"]["cid"]
    for party, loans in lenders.items():
        replace_table(fed, party, loans)
    build(fed, "index-2", base="index-1")
    people = ["new", "cid", "b0", "a0"]
    assert ask(fed, "query-2", people) == {one: truth(lenders, one) for one in people}
    with pytest.raises(CoolingDown):
        ask(fed, "query-3", ["ann"])
    build(fed, "index-3")  # with new keys: the arbiter knows people again all the same
    assert ask(fed, "query-4", ["b1"]) == {"b1": truth(lenders, "b1")}
    with pytest.raises(CoolingDown):
        ask(fed, "query-5", ["ann"])
    begin(fed, "late", put(fed, ["b2"]), epoch="index-1")
    with pytest.raises(NoIndex):
        fed.stage(query, "late")


def test_after_the_cool_down_the_log_is_forgotten(tmp_path):
    fed = lending(tmp_path, LENDERS, cooldown_hours=0)
    build(fed, "index-1")
    ask(fed, "query-1", ["ann"])
    build(fed, "index-2")
    assert ask(fed, "query-2", ["ann"]) == {"ann": truth(LENDERS, "ann")}
    now = datetime.now(UTC) + GRACE
    for party in ("alpha", REGISTER):
        keeping = Keeping(fed.context(party).state())
        guards.forget(keeping, fed.context(party).terms.task.section(QueryTerms), now)
        assert {book.epoch for book in books(keeping)} == {"index-2"}


@pytest.mark.parametrize("bad", [{"x": (1.5, 0)}, {"x": (-1, 0)}, {"x": (1, 2**32 * 1000)}])
def test_bad_customers_are_refused_before_anything_leaves(tmp_path, bad):
    import pyarrow as pa
    import pyarrow.parquet as pq

    fed = lending(tmp_path, LENDERS)
    columns = {"id": list(bad), "open_loans": [one for one, _ in bad.values()], "exposure": [one for _, one in bad.values()]}
    pq.write_table(pa.table(columns), fed.root / "beta" / "table.parquet")
    with pytest.raises(BadCustomers, match="1 rows"):
        build(fed, "index-1")


people = st.sampled_from([f"p{at}" for at in range(12)])
loans = st.tuples(st.integers(0, 2**23 - 1), st.integers(0, 2**40))


@settings(max_examples=6, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(people, loans, min_size=1), min_size=3, max_size=4), st.sets(people, min_size=1, max_size=5))
def test_answers_equal_the_truth_for_random_overlaps(tmp_path_factory, tables, asked):
    lenders = {f"lender{at}": one for at, one in enumerate(tables)}
    fed = lending(tmp_path_factory.mktemp("overlap"), lenders, padding=4)
    build(fed, "index-1")
    assert ask(fed, "query-1", sorted(asked)) == {one: truth(lenders, one) for one in asked}


def test_bands():
    terms = QueryTerms(decryptor="x")
    assert [terms.band(one) for one in (0, 1, 2, 3, 99)] == ["0", "1-2", "1-2", "3 or more", "3 or more"]
    assert [QueryTerms(decryptor="x", bands=[1]).band(one) for one in (0, 1)] == ["0", "1 or more"]


def test_retention_takes_questions_and_answers(tmp_path):
    fed = lending(tmp_path, LENDERS, {"retention": {"artifacts_days": 1}})
    build(fed, "index-1")
    fed.stage(settle, "index-1")
    ask(fed, "query-1", ["ann"])
    fed.stage(settle, "query-1")
    context = fed.context(BANK)
    held = [*context.private.names("questions/"), *context.private.names("answers/")]
    assert len(held) == 2
    assert retain(context, datetime.now(UTC) + timedelta(days=2), quiet)["runs"] == ["index-1", "query-1"]
    assert all(context.private.get(name) is None for name in held)
    with pytest.raises(BadQuestions):
        answers(context, "query-1")
    assert Keeping(context.state()).epochs(), "what the next query needs stays"
