"""Settling over real stores: one block that all sign, whoever is late, restarts, or books otherwise."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.federation import FOREVER, Federation, federation, quiet
from tombolo.fl_tasks.crypto.paillier import MIN_BITS
from tombolo.fl_tasks.ledger.settlement.messages import SETTLEMENT
from tombolo.fl_tasks.ledger.settlement.settle import OtherHistory, TwoFaced
from tombolo.fl_tasks.ledger.settlement.state import ATTESTATION
from tombolo.fl_tasks.runtime.context import RunSettled
from tombolo.fl_tasks.runtime.waiting import PeerSilent, Wait, Waiting
from tombolo.fl_tasks.workflow.settle import BooksDiffer, settle
from tombolo.storage.canonical import parse
from tombolo.storage.ledger.block import DOMAIN, verify_block
from tombolo.storage.ledger.signed import Signed

HURRY = {"deadlines": {"message": 60, "settle": 2}}
SEVERAL = {"clinic": "guest", "lab": "host", "mill": "host", "farm": "host", "notary": "arbiter"}


def joined(tmp_path, roles=None, **terms) -> Federation:
    ids = pa.array([f"p{number}" for number in range(30)])
    table = pa.table({"id": ids, "x": np.arange(30.0)})
    parties = [party for party, role in (roles or {"clinic": "guest", "lab": "host"}).items() if role != "arbiter"]
    return federation(tmp_path, dict.fromkeys(parties, table), roles=roles, key_bits=MIN_BITS, **terms)


def members(fed: Federation):
    return {name: member.verify for name, member in fed.context(fed.guest).agreement.members.items()}


def blocks(fed: Federation, height: int = 1) -> list[dict]:
    return [kept["block"] for party in fed.parties if (kept := fed.context(party).blocks.get(height)) is not None]


@pytest.mark.parametrize("roles", [None, SEVERAL], ids=["three", "five"])
def test_all_keep_one_block(tmp_path, roles):
    fed = joined(tmp_path, roles)
    run = fed.start()
    results = fed.stage(settle, run)
    found = blocks(fed)
    assert len(found) == len(fed.parties) and all(block == found[0] for block in found)
    assert {facts["block"] for facts in results.values()} == {results[fed.guest]["block"]}
    assert found[0]["run"] == run and found[0]["height"] == 1
    count = len(fed.parties)
    assert len(found[0]["pairs"]) == count * (count - 1) // 2
    assert all(pair["unmatched"] == 0 and pair["artifacts"] > 0 for pair in found[0]["pairs"])
    for party in fed.parties:
        assert verify_block(fed.context(party).blocks.get(1), members(fed)) == found[0]
    sent = sum(len(fed.context(party).books(run).entries("sent")) for party in fed.parties)
    assert results[fed.guest]["artifacts"] < sent, "the settlement's own messages are not part of it"


def test_settling_again_changes_nothing_and_the_keys_are_gone(tmp_path):
    fed = joined(tmp_path)
    run = fed.start()
    first = fed.stage(settle, run)
    assert fed.stage(settle, run) == first
    with pytest.raises(RunSettled):
        fed.context("lab").exchange(run)


def test_blocks_follow_each_other(tmp_path):
    fed = joined(tmp_path)
    first, second = fed.start("run-1"), fed.start("run-2")
    one, two = fed.stage(settle, first), fed.stage(settle, second)
    assert two["clinic"]["previous"] == one["clinic"]["block"]
    assert [block["height"] for block in blocks(fed, 2)] == [2, 2, 2]


def test_a_run_settles_those_before_it(tmp_path):
    """The guest had begun to settle a first run when it died; the second run's settlement finishes the first one too."""
    fed = joined(tmp_path)
    first, second = fed.start("run-1"), fed.start("run-2")
    with pytest.raises(Waiting):
        settle(fed.context("clinic"), first, Wait(0), progress=quiet)
    fed.run_all(lambda party: _stopping(fed, party, first) if party != "clinic" else None)
    with pytest.raises(Waiting):
        settle(fed.context("clinic"), first, Wait(0), progress=quiet)
    fed.stage(settle, second)
    assert [block["run"] for block in (blocks(fed, 1)[0], blocks(fed, 2)[0])] == [first, second]
    assert len(blocks(fed, 1)) == len(blocks(fed, 2)) == 3


def _stopping(fed, party, run):
    with pytest.raises(Waiting):
        settle(fed.context(party), run, Wait(0), progress=quiet)


def test_stopped_at_every_wait(tmp_path):
    fed = joined(tmp_path)
    run = fed.start()
    results, stops = {}, 0
    while len(results) < 3:
        assert stops < 200
        for party in [one for one in fed.parties if one not in results]:
            try:
                results[party] = settle(fed.context(party), run, Wait(0), progress=quiet)
            except Waiting:
                stops += 1
    assert stops > 6
    assert len({facts["block"] for facts in results.values()}) == 1
    assert len(blocks(fed)) == 3


def test_below_four_everybody_is_waited_for(tmp_path):
    fed = joined(tmp_path, **HURRY)
    run = fed.start()

    def alone(party):
        with pytest.raises(PeerSilent) as caught:
            settle(fed.context(party), run, FOREVER, progress=quiet)
        assert caught.value.party == "lab"

    fed.run_all(alone, ["clinic", "notary"])
    assert blocks(fed) == []
    fed.stage(settle, run)
    assert len(blocks(fed)) == 3


def test_from_four_up_a_quorum_goes_on_and_the_late_one_finds_the_block(tmp_path):
    fed = joined(tmp_path, SEVERAL, deadlines={"message": 60, "settle": 6})
    run = fed.start()
    punctual = [party for party in fed.parties if party != "farm"]
    fed.stage(settle, run, punctual)
    found = blocks(fed)
    assert len(found) == 4 and all(block == found[0] for block in found)
    assert "farm" not in found[0]["attested"]
    assert all("root" not in pair for pair in found[0]["pairs"] if "farm" in pair["parties"])
    settle(fed.context("farm"), run, FOREVER, progress=quiet)
    assert fed.context("farm").blocks.get(1)["block"] == found[0]


def test_too_few_is_no_block(tmp_path):
    fed = joined(tmp_path, SEVERAL, **HURRY)
    run = fed.start()

    def alone(party):
        with pytest.raises(PeerSilent):
            settle(fed.context(party), run, FOREVER, progress=quiet)

    fed.run_all(alone, ["clinic", "lab", "notary"])
    assert blocks(fed) == []


def test_books_that_differ_are_found_by_both_and_stand_in_the_block(tmp_path):
    fed = joined(tmp_path)
    run = fed.start()
    books = fed.context("lab").books(run)
    booked = books.entries("received")[0]
    area = books._area
    name = next(one for one in area.names("received/") if booked.sha256.encode() in (area.get(one) or b""))
    altered = (area.get(name) or b"").replace(booked.sha256.encode(), b"0" * 64)
    area.delete(name)
    area.keep(name, altered)

    def work(party):
        if party == "notary":
            return settle(fed.context(party), run, FOREVER, progress=quiet)
        with pytest.raises(BooksDiffer) as caught:
            settle(fed.context(party), run, FOREVER, progress=quiet)
        return caught.value

    fed.run_all(work)
    odd = {tuple(pair["parties"]): pair["unmatched"] for pair in blocks(fed)[0]["pairs"]}
    other = booked.peer
    assert odd == {pair: int(set(pair) == {"lab", other}) for pair in odd}
    for party in ("lab", other):
        findings = [entry for entry in fed.context(party).chain.entries(run) if entry.kind == "finding"]
        assert [one.body["addresses"] for one in findings] == [[booked.address]]


def test_third_parties_see_no_address(tmp_path):
    fed = joined(tmp_path, SEVERAL)
    run = fed.start()
    real = fed.context("mill")
    fed.stage(settle, run)
    kept = real.blocks.get(1)
    text = str(kept)
    for party in fed.parties:
        for entry in fed.context(party).books(run).entries("sent"):
            assert entry.sha256 not in text
            assert entry.address not in text


def test_a_guest_with_another_history_is_refused(tmp_path):
    fed = joined(tmp_path)
    first = fed.start("run-1")
    fed.stage(settle, first)
    second = fed.start("run-2")
    store = fed.context("clinic").store
    store.delete("ledger/trial/blocks/000000001")  # the guest restored an old backup
    fed.context("clinic").private.area("ledger").delete("heights/000000001")

    def work(party):
        if party == "clinic":
            with pytest.raises(Waiting):
                settle(fed.context(party), second, Wait(2), progress=quiet)
        else:
            with pytest.raises(OtherHistory):
                settle(fed.context(party), second, FOREVER, progress=quiet)

    fed.run_all(work)


def test_two_faces_are_kept_as_proof(tmp_path):
    """The lab attests one thing to the clinic and another to the notary; both pass on what they heard, and find out."""
    fed = joined(tmp_path)
    run = fed.start()
    with pytest.raises(Waiting):
        settle(fed.context("lab"), run, Wait(0), progress=quiet)
    fed.run_all(lambda party: _stopping(fed, party, run), ["clinic", "notary"])
    for _ in range(2):
        with pytest.raises(Waiting):
            settle(fed.context("lab"), run, Wait(0), progress=quiet)
        _stopping(fed, "clinic", run)
    context = fed.context("lab")
    with context.session(run, SETTLEMENT, "settle", FOREVER, quiet, settling=True) as session:
        own = session.state[ATTESTATION]
        other = {**own.document, "pairs": own.document["pairs"][:1]}
        lie = Signed.make("lab", other, context.keys.signing, DOMAIN)
        context.store.delete(f"to-notary/trial/{run}/000000/settle.3/attestation/head")
        session.send("attestation", "notary", document=lie.body, signature=lie.signature)

    def work(party):
        try:
            settle(fed.context(party), run, Wait(20), progress=quiet)
        except TwoFaced as error:
            return error.party
        except Waiting:  # the other has found out first, and says no more
            return ""

    found = fed.run_all(work, ["clinic", "notary"])
    assert set(found.values()) - {""} == {"lab"}
    for party in (party for party, named in found.items() if named):
        proof = parse(fed.context(party).run_area(run).area("settle").get("evidence/lab"))
        bodies = {Signed.from_json(one).body for one in proof}
        assert bodies == {own.body, lie.body}
    assert blocks(fed) == []
