"""One changed byte anywhere in a store is found and named; so is everything that is missing, misplaced, or not what was signed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.federation import Federation, party_keys, quiet
from tests.fl_tasks.ledger.audit.settled import (
    audited,
    deleted,
    flipped,
    named,
    objects,
    other_bytes,
    path_of,
    resealed,
    settled,
    source,
)
from tests.fl_tasks.ledger.settlement.test_settle import joined
from tombolo.agreements.agreement import Agreement, public_half
from tombolo.agreements.settings import PartySettings
from tombolo.fl_tasks.ledger.audit.findings import CutOff, Missing, NeverBooked
from tombolo.fl_tasks.ledger.audit.history import histories
from tombolo.fl_tasks.ledger.audit.source import StoreSource, agreements
from tombolo.fl_tasks.ledger.audit.verify import verify_store
from tombolo.fl_tasks.runtime.record import enter, enter_run
from tombolo.fl_tasks.runtime.waiting import Wait, Waiting
from tombolo.fl_tasks.workflow.join import invite
from tombolo.fl_tasks.workflow.retain import retain
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.storage.canonical import canonical, parse
from tombolo.storage.exchange import Exchange
from tombolo.storage.identity import PartyKeys, SigningKey, UnsealKey
from tombolo.storage.ledger.chain import Chain, segment_key
from tombolo.storage.ledger.entries import Entry
from tombolo.storage.ledger.signed import Signed
from tombolo.storage.ledger.voting import DOMAIN as VOTED

PARTIES = ("clinic", "lab", "notary")
UNNEEDED = re.compile(  # nothing else names these: they may be deleted, though not changed, without a finding
    r"private/trial/(ledger/(heights|votes)|runs/[^/]+/(height|invitation|join|own-seeds|seeds|settled|settle/(attestation|salt)))\b.*"
)


@pytest.fixture(scope="module")
def fed(tmp_path_factory) -> Federation:
    return settled(tmp_path_factory.mktemp("audit"))


@pytest.mark.parametrize("party", PARTIES)
def test_a_settled_federation_has_no_findings_and_says_what_was_checked(fed, party):
    audit, ends = verify_store(source(fed, party))
    assert audit.findings == []
    assert (ends.height, ends.segment) == (2, fed.context(party).chain.length())
    counts = audit.counts
    assert counts["agreement"] == {"digests": 2, "signatures": 6}
    assert counts["record"]["entries"] == len(list(fed.context(party).chain.entries()))
    assert counts["blocks"] == {"blocks": 2, "votes": 6, "attestations": 6, "proofs": 6}
    assert counts["reconciliation"]["pairs"] == 4
    assert counts["manifests"] == {"manifests": 2, "signatures": 6}
    assert counts["artifacts"]["artifacts"] == len([key for key in objects(fed, party) if key.endswith("/head")])
    assert counts["private objects"]["objects"] == len(source(fed, party).names("private/"))


def test_monitoring_is_no_run_that_anybody_signed(tmp_path):
    fed = joined(tmp_path)
    fed.stage(settle, fed.start("run-1"))
    context = fed.context("clinic")
    enter_run(context, "watch-1", "monitor", model="run-1")
    enter(context, "watch-1", "monitoring", "run-1", psi=0.1)
    assert named(fed, "clinic") == []
    found, unread = histories(source(fed, "clinic"))
    assert (found["watch-1"].state, unread) == ("this party's own", [])


def test_an_empty_store_proves_nothing(tmp_path):
    """A store that was wiped, a mistyped address, a mount that failed: all look alike, and none is in order."""
    fed = joined(tmp_path)
    assert named(fed, "lab") == ["ledger/trial/"]


PLACES = [("clinic", "middle"), ("notary", "last"), ("lab", "first"), ("lab", "quarter")]


@pytest.mark.parametrize(("party", "where"), PLACES)
def test_one_changed_byte_anywhere_is_found_and_named(fed, party, where):
    keys = objects(fed, party)
    assert len(keys) > 80 and {key.split("/")[0] for key in keys} >= {"ledger", "private"}
    for key in keys:
        path = path_of(fed, party, key)
        size = path.stat().st_size
        with flipped(path, {"first": 0, "quarter": size // 4, "middle": size // 2, "last": size - 1}[where]):
            assert named(fed, party) == [key]
    assert named(fed, party) == []


@pytest.mark.parametrize("party", ["clinic", "notary"])
def test_what_something_else_names_cannot_go_unseen(fed, party):
    keys = [key for key in objects(fed, party) if not UNNEEDED.fullmatch(key)]
    assert {key.split("/")[1 if key.startswith("to-") else 2] for key in keys} >= {"trial", "segments", "blocks", "runs"}
    for key in keys:
        with deleted(path_of(fed, party, key)):
            assert set(named(fed, party)) == {key}


def test_a_record_cut_off_is_seen_by_what_knows_more(fed):
    """The newest segments go, with everything else of the last run that is not pinned elsewhere."""
    name, last = "ledger/trial", fed.context("lab").chain.length()
    tail = [path_of(fed, "lab", segment_key("trial", index)) for index in (last - 1, last)]
    with deleted(*tail):
        found = audited(fed, "lab").findings
        assert {finding.name for finding in found} >= {segment_key("trial", last - 1)}
        assert {finding.code for finding in found} >= {CutOff.code}
    first = fed.context("lab").blocks.get(1)["block"]["records"]["lab"]["index"]
    kept = [key for key in objects(fed, "lab", f"{name}/segments/") if int(key.rsplit("/", 1)[1]) >= first]
    last_runs = [key for key in objects(fed, "lab") if "run-2" in key or key.endswith("blocks/000000002")]
    with deleted(*(path_of(fed, "lab", key) for key in [*kept, *last_runs])):
        found = audited(fed, "lab").findings
        assert any(f"pins segment {first}" in finding.what for finding in found if finding.code == CutOff.code)


def test_a_forked_record_is_not_the_one_that_the_block_pins(fed):
    """The party itself signs another end of its record, in which an artifact was never sent."""
    lab, keys = fed.context("lab"), party_keys("lab")
    pinned = fed.context("lab").blocks.get(2)["block"]["records"]["lab"]["index"]
    segment = lab.chain.segment(pinned)
    entries = [Entry.read(line) for line in segment.lines(keys.vault)]
    path = path_of(fed, "lab", segment_key("trial", pinned))
    tail = [path_of(fed, "lab", segment_key("trial", index)) for index in range(pinned, lab.chain.length() + 1)]
    with deleted(*tail):
        Chain(lab.store, keys, "trial").append(entries[:-1])
        found = {finding.name: finding for finding in audited(fed, "lab").findings}
        assert f"pins a segment {pinned} that differs" in found["ledger/trial/blocks/000000002"].what
        path.unlink()
    assert named(fed, "lab") == []


def test_a_block_from_another_height(fed):
    one, two = ("ledger/trial/blocks/000000001", "ledger/trial/blocks/000000002")
    with other_bytes(path_of(fed, "lab", two), path_of(fed, "lab", one).read_bytes()):
        assert named(fed, "lab") == [two], "its seal says where it belongs"
    document = fed.context("lab").blocks.get(1)
    with other_bytes(path_of(fed, "lab", two), resealed(fed, "lab", two, document)):
        found = audited(fed, "lab").findings
        assert [finding.name for finding in found] == [two]
        assert "It is block 1" in found[0].what


def _altered(document: dict, change: str) -> dict:
    block = document["block"]
    if change == "metrics":
        return {**document, "block": {**block, "facts": {**block["facts"], "metrics": {"auc": 1.0}}}}
    if change == "vote":
        return {**document, "certificate": document["certificate"][1:]}
    if change == "attestation":
        return {**document, "attestations": document["attestations"][:-1]}
    if change == "agreement":
        return {**document, "block": {**block, "agreement_digest": "0" * 64}}
    if change == "parties":
        return {**document, "block": {**block, "parties": block["parties"][1:]}}
    return {**document, "block": {name: value for name, value in block.items() if name != change}}


@pytest.mark.parametrize(
    "change", ["metrics", "vote", "attestation", "agreement", "parties", "pairs", "records", "height", "facts"]
)
def test_a_block_that_its_party_altered(fed, change):
    key = "ledger/trial/blocks/000000002"
    with other_bytes(path_of(fed, "lab", key), resealed(fed, "lab", key, _altered(fed.context("lab").blocks.get(2), change))):
        assert named(fed, "lab") == [key]


def test_books_that_the_party_rewrote(fed):
    """With its own vault a party can rewrite what it kept; the block and the record still say what it attested."""
    book = "private/trial/runs/run-1/settle/book/clinic"
    lines = parse(source(fed, "lab").read(book))
    with other_bytes(path_of(fed, "lab", book), resealed(fed, "lab", book, [{**lines[0], "size": 1}, *lines[1:]])):
        assert named(fed, "lab") == [book]
    with other_bytes(path_of(fed, "lab", book), resealed(fed, "lab", book, lines[1:])):
        assert named(fed, "lab") == ["private/trial/runs/run-1/settle/pair/clinic"]
    booking = objects(fed, "lab", "private/trial/runs/run-1/books/sent/")[0]
    kept = parse(source(fed, "lab").read(booking))
    with other_bytes(path_of(fed, "lab", booking), resealed(fed, "lab", booking, {**kept, "sha256": "0" * 64})):
        assert named(fed, "lab") == [booking]


def test_another_manifest_than_that_which_all_signed(fed):
    key = "private/trial/runs/run-1/manifest"
    manifest = parse(source(fed, "lab").read(key))
    other = {**manifest, "invitation": {**manifest["invitation"], "as_of": "2020-01-01T00:00:00+00:00"}}
    with other_bytes(path_of(fed, "lab", key), resealed(fed, "lab", key, other)):
        assert named(fed, "lab") == [key]
    swapped = resealed(fed, "lab", key, parse(source(fed, "lab").read("private/trial/runs/run-2/manifest")))
    with other_bytes(path_of(fed, "lab", key), swapped):
        assert named(fed, "lab") == [key]


def test_an_artifact_that_was_never_booked(fed):
    path = path_of(fed, "lab", "to-clinic/trial/run-1/000001/train.1/secret/head")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"anything")
    found = audited(fed, "lab").findings
    path.unlink()
    assert [(one.name, one.code) for one in found] == [
        ("to-clinic/trial/run-1/000001/train.1/secret/head", NeverBooked.code),
    ]


def test_a_chunked_artifact(tmp_path, monkeypatch):
    fed = settled(tmp_path, runs=0)
    send = Exchange.send

    def in_pieces(self, message, recipient, round, columns):
        self.chunk_bytes = 64 if message.name == "pair_book" else self.chunk_bytes
        return send(self, message, recipient, round, columns)

    monkeypatch.setattr(Exchange, "send", in_pieces)
    fed.stage(settle, fed.start())
    assert named(fed, "lab") == []
    chunks = [key for key in objects(fed, "lab", "to-clinic/") if re.search(r"/\d{6}$", key)]
    assert len(chunks) > 1
    with flipped(path_of(fed, "lab", chunks[1]), 100):
        assert named(fed, "lab") == [chunks[1]]
    with deleted(path_of(fed, "lab", chunks[0])):
        assert named(fed, "lab") == [chunks[0]]


def test_retention_is_no_loss_and_a_loss_is_no_retention(tmp_path):
    fed = settled(tmp_path, retention={"artifacts_days": 1})
    assert retain(fed.context("lab"), datetime.now(UTC) + timedelta(days=2))["runs"] == ["run-1", "run-2"]
    audit = audited(fed, "lab")
    assert audit.findings == [], "what settles a dispute survives: books, salts, signatures"
    assert audit.counts["artifacts"].keys() == {"erased by retention"}
    assert audit.counts["reconciliation"]["pairs"] == 4
    key = objects(fed, "clinic", "to-lab/trial/run-1/")[0]
    path_of(fed, "clinic", key).unlink()
    found = audited(fed, "clinic").findings
    assert [(one.name, one.code) for one in found] == [(key, Missing.code)]


def test_a_run_under_way_has_no_findings(tmp_path):
    fed = settled(tmp_path, runs=1)
    invite(fed.context("clinic"), "run-2")
    assert named(fed, "clinic") == []
    fed.start("run-3")
    path = path_of(fed, "lab", "to-clinic/trial/run-3/000001/train.1/piece/000001")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a sending begins with its chunks")
    assert [named(fed, party) for party in PARTIES] == [[], [], []]


@pytest.fixture(scope="module")
def moved_on(tmp_path_factory) -> Federation:
    """A federation in which the lab's keys were rotated after the first run."""
    fed = settled(tmp_path_factory.mktemp("rotated"), runs=1)
    folder, old = fed.root / "federations" / "trial", party_keys("lab")
    new = PartyKeys("lab", SigningKey.new(), UnsealKey.new(), old.vault)
    Agreement.load(folder).write_amendment([{"pin": {"party": "lab", **public_half(new)}}])
    _sign(folder, old, new, party_keys("clinic"), party_keys("notary"))
    _replace_keys(fed, new)
    fed.stage(settle, fed.start("run-2"))
    return fed


def _sign(folder, *keys):
    for one in keys:
        Agreement.load(folder, verify=False).sign(one)


def _replace_keys(fed, keys):
    path = fed.root / "lab" / "keys.json"
    path.unlink()
    keys.save(path)


def test_a_rotated_key_does_not_break_the_past(moved_on):
    for party in PARTIES:
        audit = audited(moved_on, party)
        assert audit.findings == []
        assert audit.counts["blocks"]["blocks"] == 2


def test_a_replaced_key_signs_nothing_more(moved_on):
    old, store = party_keys("lab"), moved_on.context("lab").store
    Chain(store, old, "trial").append([Entry.now("query", "run-9", "one", {})])
    index = moved_on.context("lab").chain.length()
    found = named(moved_on, "lab")
    store.delete(segment_key("trial", index))
    assert found == [segment_key("trial", index)]


def test_a_party_that_left_still_verifies_and_is_verified(tmp_path):
    roles = {"clinic": "guest", "lab": "host", "mill": "host", "notary": "arbiter"}
    fed = joined(tmp_path, roles)
    fed.stage(settle, fed.start("run-1"))
    folder = tmp_path / "federations" / "trial"
    Agreement.load(folder).write_amendment([{"leave": "mill"}])
    _sign(folder, *map(party_keys, roles))
    stay = [party for party in roles if party != "mill"]
    fed.parties.pop("mill")
    fed.stage(settle, fed.start("run-2"), stay)
    for party in stay:
        assert named(fed, party) == []
    fed.parties["mill"] = "host"
    settings = PartySettings.load(fed.settings("mill"))
    assert agreements(settings) == ["trial"]
    audit, ends = verify_store(StoreSource.open("trial", settings))
    assert audit.findings == []
    assert ends.height == 1


def test_a_missing_or_wrong_signature_of_the_agreement(fed):
    signatures = sorted((fed.root / "federations" / "trial" / "signatures").iterdir())
    with deleted(signatures[0]):
        assert [finding.part for finding in audited(fed, "lab").findings] == ["agreement"]
    with other_bytes(signatures[0], signatures[1].read_bytes()):
        assert [finding.part for finding in audited(fed, "lab").findings] == ["agreement"]


def test_proof_of_two_faces_is_verified(fed):
    store, key = fed.context("clinic").store, "private/trial/runs/run-1/settle/evidence/lab"
    vote = {"agreement": "trial", "height": 1, "view": 0, "phase": "prevote", "block": "a" * 64, "party": "lab"}
    both = [Signed.make("lab", {**vote, "block": letter * 64}, party_keys("lab").signing, VOTED).to_json() for letter in "ab"]
    for proof, expected in ((both, []), ([both[0], both[0]], [key]), ([both[0], {**both[1], "body": "{}"}], [key]), ([], [key])):
        store.put(key, party_keys("clinic").vault.seal(canonical(proof), key))
        found = named(fed, "clinic")
        store.delete(key)
        assert found == expected


def test_an_entry_twice_and_a_line_that_is_none(fed):
    """What a party itself could sign wrongly: the record's form is checked too."""
    lab, keys = fed.context("lab"), party_keys("lab")
    index = lab.chain.length() + 1
    entry = next(iter(lab.chain.entries("run-1")))

    class Careless(Entry):
        def line(self) -> bytes:
            return b'{"kind":"query"}'

    for wrong in (entry, Careless("query", "run-1", "x")):
        assert Chain(lab.store, keys, "trial")._put(index - 1, [wrong])
        found = named(fed, "lab")
        lab.store.delete(segment_key("trial", index))
        assert found == [segment_key("trial", index)]


def test_foreign_objects(fed):
    """Objects where no program of ours puts any, on a store where one key may be the beginning of another."""
    store = fed.context("lab").store
    misplaced = ("private/trial/runs/x", "to-mill/trial", "to-clinic/trial/invitations", "to-clinic/trial/invitations/000000/x/y")
    for key in ("ledger/trial/segments/last", "ledger/trial/notes/1", "ledger/trial/blocks/000000000", *misplaced):
        store.put(key, b"x")
        found = named(fed, "lab")
        store.delete(key)
        assert found == [key]


def test_a_block_pins_every_party_s_record_once(tmp_path):
    """What a party attested of its record stays what it was, though the record goes on before the block is final."""
    fed = settled(tmp_path, runs=0)
    run, heads = fed.start(), {}
    with pytest.raises(Waiting):
        settle(fed.context("lab"), run, Wait(0), progress=quiet)
    waiting = {party: True for party in PARTIES}
    while any(waiting.values()):
        for party in [one for one in PARTIES if waiting[one]]:
            if "settle/attestation" in fed.context(party).run_area(run).names("settle/") and party not in heads:
                heads[party] = fed.context(party).chain.head()
                fed.context(party).chain.append([Entry.now("query", run, "in between", {})])
            try:
                settle(fed.context(party), run, Wait(0), progress=quiet)
                waiting[party] = False
            except Waiting:
                pass
    block = fed.context("clinic").blocks.get(1)["block"]
    assert block["records"] == {party: {"index": head.index, "digest": head.digest} for party, head in heads.items()}
    assert [named(fed, party) for party in PARTIES] == [[], [], []]
