"""Attacks on the lending query: what a lender, the arbiter, the asker or an outsider could try, and why it fails."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pytest

from tests.federation import TEST_BITS
from tests.fl_tasks.protocols.lending_query.lenders import BANK, REGISTER, ask, begin, build, lending, put, replace_table, truth
from tombolo.fl_tasks.crypto import ristretto
from tombolo.fl_tasks.crypto.errors import InvalidPoint
from tombolo.fl_tasks.crypto.masks import residues_from_arrow
from tombolo.fl_tasks.protocols.lending_query.asking import answers, query
from tombolo.fl_tasks.protocols.lending_query.deposits import token
from tombolo.fl_tasks.protocols.lending_query.errors import BadDeposit, BadTicket, CoolingDown, PersonQuotaSpent
from tombolo.fl_tasks.protocols.lending_query.index import DOMAIN
from tombolo.fl_tasks.protocols.lending_query.keys import Keeping
from tombolo.fl_tasks.protocols.lending_query.messages import INDEX, QUERY
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.envelope import ForeignBinding, MisaddressedArtifact
from tombolo.storage.schema import TooManyRows

LENDERS = {
    "alpha": {"ann.larsson": (2, 12_000), "bob.marsden": (1, 1_000), "eve.ansel": (0, 0)},
    "beta": {"ann.larsson": (1, 3_000), "cid.okafor": (5, 70_000)},
    "gamma": {"ann.larsson": (4, 9_000), "dan.whitby": (3, 2_000), "bob.marsden": (1, 8_000)},
}
EVERYBODY = sorted({one for loans in LENDERS.values() for one in loans} | {"zoe.quill"})


@pytest.fixture
def heard(monkeypatch) -> dict[str, list[tuple[str, str, pa.Table]]]:
    """Everything that each party receives, in the clear: message, sender, table."""
    found = defaultdict(list)
    real = Session.receive

    def receive(self, name, frm, rows=None):
        table = real(self, name, frm, rows)
        found[self.me].append((name, frm, table))
        return table

    monkeypatch.setattr(Session, "receive", receive)
    return found


def tampered(monkeypatch, party: str, message: str, change) -> None:
    """What one party sends is changed by ``change(columns)`` first."""
    real = Session.send

    def send(self, name, to=None, /, **columns):
        if (self.me, name) == (party, message):
            columns = change(dict(columns))
        real(self, name, to, **columns)

    monkeypatch.setattr(Session, "send", send)


def points(tables: list[tuple[str, str, pa.Table]], *messages: str) -> set[bytes]:
    return {
        one
        for name, _, table in tables
        if "point" in table.column_names and (not messages or name in messages)
        for one in Session.values(table, "point").to_pylist()
    }


def keeping(fed, party: str) -> Keeping:
    return Keeping(fed.context(party).state(), TEST_BITS)


def hashed(fed, one: str) -> bytes:
    return ristretto.hash_to_group(one.encode(), DOMAIN + fed.name)


def tokens_of(fed, run: str) -> set[bytes]:
    """What the arbiter matches by, read from its own area."""
    import pyarrow.parquet as pq

    area = fed.context(REGISTER).private.area("history", "lending", "deposits", run)
    tables = [pq.read_table(pa.BufferReader(area.get(name))) for name in area.names()]
    return {one for table in tables for one in table.column("token").to_pylist()}


def points_arrow(listed: list[bytes]) -> pa.Array:
    return pa.array(listed, pa.binary(32))


def test_nothing_is_disclosed_beside_the_answer():
    assert set(INDEX.disclosures()) == set(QUERY.disclosures()) == set()


def test_a_dictionary_finds_nobody(tmp_path, heard):
    """Every guess is right here; still neither a lender, nor the arbiter, nor an outsider who reads all messages finds one."""
    fed = lending(tmp_path, LENDERS)
    build(fed, "index-1")
    asked = ["ann.larsson", "cid.okafor", "zoe.quill"]
    ask(fed, "query-1", asked)
    tokens, everything = tokens_of(fed, "index-1"), points([one for tables in heard.values() for one in tables])
    assert len(tokens) >= len(EVERYBODY) - 1
    guesses = {hashed(fed, one) for one in EVERYBODY}
    assert not guesses & everything, "an outsider"
    mine = {party: keeping(fed, party).exponent("index-1") for party in (*LENDERS, REGISTER)}
    for party, exponent in mine.items():
        raised = {ristretto.exponentiate(one, exponent) for one in guesses}
        lowered = {ristretto.exponentiate(one, ristretto.invert(exponent)) for one in everything}
        assert not raised & points(heard[party]), party
        assert not lowered & guesses, party
        assert not {token(one) for one in raised | guesses} & tokens, party
    for party in LENDERS:  # it knows the points of its customers under all lenders' exponents, and neither tokens nor questions
        own = points(heard[party]) | {point for point, _ in _remembered(fed, party, "index-1").values()}
        assert not {token(one) for one in own} & tokens, party
        held = {point for point, _ in _remembered(fed, party, "index-1").values()}
        assert not held & points(heard[party], "blinded_question"), party
    asker = points(heard[BANK], "blinded_question")
    assert not {token(one) for one in asker} & tokens
    assert points(heard[REGISTER], "question") & points(heard[REGISTER], "deposit"), "only the arbiter sees that they meet"
    for tables in heard.values():
        for _, _, table in tables:
            assert not any(one.encode() in str(table.to_pylist()).encode() for one in EVERYBODY)


def _remembered(fed, party: str, run: str):
    from tombolo.fl_tasks.protocols.lending_query.customers import Remembered

    return Remembered(keeping(fed, party)).load(run)


def test_stores_hold_nothing_that_a_dictionary_opens(tmp_path):
    fed = lending(tmp_path, LENDERS)
    build(fed, "index-1")
    ask(fed, "query-1", ["ann.larsson", "zoe.quill"])
    stored = b"".join(
        file.read_bytes() for party in fed.parties for file in Path(tmp_path / party / "store").rglob("*") if file.is_file()
    )
    for one in EVERYBODY:
        assert hashed(fed, one) not in stored
        for digest in (hashlib.sha256, hashlib.sha1, hashlib.md5):
            assert digest(one.encode()).digest() not in stored and digest(one.encode()).hexdigest().encode() not in stored
    assert b"receipt of" not in stored


def test_indexes_and_questions_share_no_point(tmp_path, heard):
    fed = lending(tmp_path, LENDERS, person_quota=2)
    build(fed, "index-1")
    first = points(heard[REGISTER], "deposit")
    ask(fed, "query-1", ["ann.larsson"])
    seen = points(heard["alpha"], "blinded_question")
    ask(fed, "query-2", ["ann.larsson"])
    assert len(points(heard["alpha"], "blinded_question") - seen) == len(seen) == 1, "the same person looks new"
    heard.clear()
    build(fed, "index-2")
    assert not first & points(heard[REGISTER], "deposit")


def test_the_decryptor_sees_uniform_values(tmp_path, heard):
    fed = lending(tmp_path, LENDERS, person_quota=9)
    build(fed, "index-1")
    for number in range(4):
        ask(fed, f"query-{number}", ["ann.larsson", "zoe.quill", "cid.okafor"])
    key = keeping(fed, "alpha").private_key("index-1", TEST_BITS).public
    masked = [
        value
        for name, _, table in heard[BANK]
        if name == "masked_answer"
        for value in residues_from_arrow(key, Session.values(table, "sum"))
    ]
    assert len(set(masked)) == 12
    assert all(value > key.n >> 200 for value in masked)  # a bare answer has 72 bits
    assert len({value * 8 // int(key.n) for value in masked}) >= 4
    sums = [one for name, _, table in heard["alpha"] if name == "masked_sum" for one in Session.values(table, "sum").to_pylist()]
    masks = [one for name, _, table in heard[REGISTER] if name == "question" for one in Session.values(table, "mask").to_pylist()]
    assert len(set(sums)) == 12 and not set(sums) & set(masks), "also where nothing was added"


def test_differencing_two_batches(tmp_path):
    """Answers are of one fixed index: neither another batch nor another epoch shows what one lender changed."""
    lenders = {name: dict(loans) for name, loans in LENDERS.items()}
    fed = lending(tmp_path, lenders)
    build(fed, "index-1")
    first = ask(fed, "query-1", ["ann.larsson", "bob.marsden"])
    lenders["beta"]["ann.larsson"] = (9, 90_000)
    replace_table(fed, "beta", lenders["beta"])
    assert (
        ask(fed, "query-2", ["ann.larsson", "dan.whitby"])["ann.larsson"] == first["ann.larsson"] == truth(LENDERS, "ann.larsson")
    )
    build(fed, "index-2", base="index-1")
    with pytest.raises(CoolingDown):
        ask(fed, "query-3", ["ann.larsson", "cid.okafor"])
    build(fed, "index-3")
    with pytest.raises(CoolingDown):
        ask(fed, "query-4", ["bob.marsden"])


@pytest.mark.parametrize(
    ("party", "message"),
    [("alpha", "customer_points"), ("beta", "deposit"), (BANK, "blinded_question"), (BANK, "question")],
)
@pytest.mark.parametrize("forged", [bytes(32), b"\xff" * 32], ids=["identity", "no point"])
def test_what_is_no_point_of_the_group_is_refused(tmp_path, monkeypatch, party, message, forged):
    def change(columns):
        return {**columns, "point": points_arrow([forged, *columns["point"].to_pylist()[1:]])}

    fed = lending(tmp_path, LENDERS)
    if party == BANK:
        build(fed, "index-1")
    tampered(monkeypatch, party, message, change)
    with pytest.raises(InvalidPoint):
        ask(fed, "query-1", ["ann.larsson", "bob.marsden"]) if party == BANK else build(fed, "index-1")


@pytest.mark.parametrize("how", ["more", "other consents", "twice"])
def test_an_asker_gets_no_more_than_was_admitted(tmp_path, monkeypatch, how):
    fed = lending(tmp_path, LENDERS)
    build(fed, "index-1")

    def change(columns):
        listed = {name: one.to_pylist() for name, one in columns.items()}
        if how == "more":
            listed = {name: [*one, one[0]] for name, one in listed.items()}
        elif how == "twice":
            listed["point"][1] = listed["point"][0]
        else:
            listed["consent"].reverse()
        return {name: pa.array(one, columns[name].type) for name, one in listed.items()}

    tampered(monkeypatch, BANK, "question", change)
    with pytest.raises(TooManyRows if how == "more" else BadTicket):
        ask(fed, "query-1", ["ann.larsson", "bob.marsden"])


def test_a_point_that_hides_a_person_from_the_count_gets_nothing(tmp_path, monkeypatch):
    """Under another exponent the arbiter does not know ann again, and finds nothing of hers either."""
    fed = lending(tmp_path, LENDERS, person_quota=1)
    build(fed, "index-1")
    assert ask(fed, "query-1", ["ann.larsson"]) == {"ann.larsson": truth(LENDERS, "ann.larsson")}
    with pytest.raises(PersonQuotaSpent):
        ask(fed, "query-2", ["ann.larsson"])

    def change(columns):
        other = ristretto.exponentiate(columns["point"][0].as_py(), (2).to_bytes(32, "little"))
        return {**columns, "point": ristretto.points_to_arrow(other)}

    tampered(monkeypatch, BANK, "question", change)
    assert ask(fed, "query-3", ["ann.larsson"]) == {"ann.larsson": (0, 0)}


def test_a_lender_that_changes_the_batch_is_named(tmp_path, monkeypatch):
    """The second lender's ticket is for what the first passed on, and the arbiter sees that it is not."""
    fed = lending(tmp_path, LENDERS)
    build(fed, "index-1")
    other = hashed(fed, "somebody else")
    tampered(monkeypatch, "alpha", "blinded_question", lambda columns: {**columns, "point": points_arrow([other])})
    with pytest.raises(BadTicket, match="party beta"):
        ask(fed, "query-1", ["ann.larsson"])


def test_a_ticket_of_another_run_is_refused(tmp_path):
    """Signed as it is, it is bound to its run: laid in another run's context, it admits nothing."""
    fed = lending(tmp_path, LENDERS)
    build(fed, "index-1")
    ask(fed, "query-1", ["ann.larsson"])
    begin(fed, "query-2", put(fed, ["bob.marsden"], name="second"))
    store = fed.context("alpha").store
    old = [key for key in store.list(f"to-{REGISTER}/") if "/query-1/" in key and "ticket" in key]
    assert old
    for key in old:
        store.put(key.replace("/query-1/", "/query-2/"), store.get(key))
    with pytest.raises((ForeignBinding, MisaddressedArtifact)):
        fed.stage(query, "query-2")


def test_foreign_tokens_in_a_deposit_answer_nothing(tmp_path, monkeypatch, heard):
    """A lender lays points down that it saw pass by, or made up: no question meets them, and it hears nothing."""
    fed = lending(tmp_path, LENDERS)

    def change(columns):
        seen = sorted(points(heard["beta"], "customer_points"))[:4]
        made_up = [ristretto.hash_to_group(bytes([at]), "made up") for at in range(4)]
        values = columns["value"].to_pylist()
        return {"point": points_arrow(seen + made_up), "value": pa.array(values[:8], columns["value"].type)}

    tampered(monkeypatch, "beta", "deposit", change)
    build(fed, "index-1")
    without = {name: loans for name, loans in LENDERS.items() if name != "beta"}
    assert ask(fed, "query-1", EVERYBODY) == {one: truth(without, one) for one in EVERYBODY}
    assert [name for name, _, _ in heard["beta"] if name in ("masked_sum", "masked_answer", "question")] == []


@pytest.mark.parametrize("how", ["short", "repeated"])
def test_a_deposit_of_another_form_is_refused(tmp_path, monkeypatch, how):
    """A lender that counts a person twice, or shows its number of customers, is refused."""
    fed = lending(tmp_path, LENDERS)

    def change(columns):
        listed, values = columns["point"].to_pylist(), columns["value"].to_pylist()
        listed = listed[:-1] if how == "short" else [listed[1], *listed[1:]]
        return {"point": points_arrow(listed), "value": pa.array(values[: len(listed)], columns["value"].type)}

    tampered(monkeypatch, "beta", "deposit", change)
    with pytest.raises(BadDeposit):
        build(fed, "index-1")


def test_an_arbiter_links_no_more_people_between_epochs_than_were_asked_about(tmp_path, monkeypatch):
    fed = lending(tmp_path, LENDERS)
    build(fed, "index-1")
    ask(fed, "query-1", ["ann.larsson"])
    made_up = ristretto.hash_to_group(b"a pseudonym of the old index", "made up")

    def change(columns):
        return {"point": points_arrow([*columns["point"].to_pylist(), made_up]), "series": [*columns["series"], "index-1"]}

    tampered(monkeypatch, REGISTER, "asked_before", change)
    with pytest.raises(BadDeposit, match="The arbiter sends 2 recent questions, but this lender admitted 1"):
        build(fed, "index-2")


def test_keys_of_an_epoch_do_not_outlive_it(tmp_path):
    """What could open or match an old index is gone once the next one with keys of its own stands."""
    fed = lending(tmp_path, LENDERS)
    build(fed, "index-1")
    ask(fed, "query-1", ["ann.larsson"])
    build(fed, "index-2")
    for party in (*LENDERS, REGISTER):
        names = fed.context(party).private.area("history", "lending").names()
        kept = {name.split("/")[0] for name in names if "index-1" in name}
        assert kept <= {"asked", "epochs"}, party
    assert answers(fed.context(BANK), "query-1")
