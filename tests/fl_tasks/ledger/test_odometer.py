"""The odometer in the blocks: co-signed, audited, seen to be missing after a restore, and rebuilt so that it never says less."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.federation import Federation, party_keys
from tests.fl_tasks.ledger.audit.settled import audited, deleted, flipped, named, path_of, source
from tests.fl_tasks.privacy.metered import joined, send, used
from tests.fl_tasks.privacy.paying import release, segment
from tombolo.cli.app import app
from tombolo.fl_tasks.ledger.audit.bundle import export
from tombolo.fl_tasks.ledger.audit.findings import CutOff, Differs
from tombolo.fl_tasks.ledger.rebuild import rebuild, stated_in, stated_in_bundle, trouble
from tombolo.fl_tasks.privacy.odometer import Damaged, Odometer, Restored
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.storage.stores.local import LocalStore

BLOCK = "ledger/trial/blocks/000000001"
PERSONS = {"meter": "rows", "amount": 0.0, "limit": None, "to": ("lab",)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    """A clinic that has sent the lab and the notary two numbers and told the lab of two persons, and a settled run."""
    fed = joined(tmp_path_factory.mktemp("whole"))
    send(fed, lambda session: [session.send("loss", loss=0.5), session.enter(1), session.send("loss", "lab", loss=0.5)])
    send(fed, lambda session: [session.receive("loss", "clinic"), session.enter(1), session.receive("loss", "clinic")], "lab")
    send(fed, lambda session: session.receive("loss", "clinic"), "notary")
    fed.context("clinic").odometer.pay_rows(release("v1", **PERSONS), [3, 7], 10, 100)
    fed.stage(settle, "run-1")
    return fed


@pytest.fixture
def fed(whole: Federation, tmp_path: Path) -> Federation:
    """A copy, whose stores may be harmed. The pinned stores are those of the original; nobody reads a peer here."""
    copy = tmp_path / "copy"
    shutil.copytree(whole.root, copy)
    for path in copy.glob("*/party.yaml"):
        path.write_text(path.read_text().replace(str(whole.root), str(copy)))
    return Federation(copy, whole.name, dict(whole.parties))


def call(*words: object) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "220"}).invoke(app, [str(word) for word in words])
    return result.exit_code, result.output + (str(result.exception) if result.exception else "")


def begin(fed: Federation) -> None:
    """What a task does first; the run is settled, so it gets no further than the odometer."""
    fed.context("clinic")._require_odometer()


def rebuilt(fed: Federation) -> str:
    status, shown = call("odometer", "rebuild", "--settings", fed.settings("clinic"))
    assert status == 0, shown
    return shown


def cut(fed: Federation, *numbers: int, name: str = "_odometer") -> None:
    for number in numbers:
        path_of(fed, "clinic", segment(number, name)).unlink()


def test_a_block_says_what_was_released(whole):
    block = whole.context("lab").blocks.get(1)["block"]
    clinic = whole.context("clinic")
    assert set(block["odometers"]) == {"clinic"}
    said = block["odometers"]["clinic"]
    assert said["odometer"] == clinic.odometer.head()
    assert (
        {(one["recipient"], one["meter"]): one["amount"] for one in said["readings"]}
        == used(whole)
        == {
            ("lab", "progress"): 106,
            ("lab", "rows"): 10,
            ("notary", "progress"): 53,
        }
    )
    assert {one["population"] for one in said["readings"]} == {clinic.population, "people"}
    begin(whole)


@pytest.mark.parametrize("party", ["clinic", "lab", "notary"])
def test_a_whole_odometer_has_no_findings(whole, party):
    audit = audited(whole, party)
    assert audit.findings == []
    expected = {"segments": 3, "entries": 3, "readings": 3, "snapshots": 1} if party == "clinic" else {}
    assert audit.counts.get("odometer", {}) == expected


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("at", [100, 3000, -1])
def test_one_changed_byte_is_found_and_named(fed, number, at):
    key = segment(number)
    path = path_of(fed, "clinic", key)
    with flipped(path, at % path.stat().st_size):
        assert named(fed, "clinic") == [key]
        with pytest.raises(Damaged):
            begin(fed)
    with deleted(path):
        found = audited(fed, "clinic").findings
        assert [finding.name for finding in found] == [key if number < 3 else BLOCK]
        with pytest.raises((Damaged, Restored)):
            begin(fed)
    assert named(fed, "clinic") == []


def test_a_snapshot_that_is_not_the_named_one_is_found(fed):
    key = source(fed, "clinic").names("private/_odometer/")[0]
    with flipped(path_of(fed, "clinic", key), 60):
        assert named(fed, "clinic") == [key]
    with deleted(path_of(fed, "clinic", key)):
        assert named(fed, "clinic") == [key]


def test_an_odometer_that_goes_on_after_a_restore_is_found(fed):
    cut(fed, 3)
    assert [(one.name, one.code) for one in audited(fed, "clinic").findings] == [(BLOCK, CutOff.code)]
    with pytest.raises(Restored):
        begin(fed)
    fed.context("clinic").odometer.pay([release("after the restore", to=("lab",))])
    with pytest.raises(Restored, match="another one than block 1"):
        begin(fed)
    assert [(one.name, one.code) for one in audited(fed, "clinic").findings] == [(BLOCK, Differs.code)]


def test_readings_that_are_not_the_chains_are_found(fed, monkeypatch):
    from tombolo.fl_tasks.privacy.totals import Totals

    honest = Totals.statements
    monkeypatch.setattr(Totals, "statements", lambda self, who: [{**one, "amount": 1.0} for one in honest(self, who)])
    assert [(one.name, one.code) for one in audited(fed, "clinic").findings] == [(BLOCK, Differs.code)]


@pytest.mark.parametrize("harm", ["flip", "middle", "end", "all", "snapshot"])
def test_a_rebuilt_odometer_says_no_less_and_works(fed, harm):
    before = used(fed)
    if harm == "flip":
        path = path_of(fed, "clinic", segment(2))
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(bytes(data))
    elif harm == "snapshot":
        path_of(fed, "clinic", source(fed, "clinic").names("private/_odometer/")[0]).unlink()
    else:
        cut(fed, *{"middle": [1], "end": [3], "all": [1, 2, 3]}[harm])
    shown = rebuilt(fed)
    assert "trial up to block 1" in shown and "3 readings" in shown
    begin(fed)
    assert used(fed) == before
    assert named(fed, "clinic") == []
    odometer = fed.context("clinic").odometer
    odometer.pay([release("more", 1, None, to=("lab",), population=fed.context("clinic").population)])
    assert used(fed)["lab", "progress"] >= before["lab", "progress"]
    odometer.pay_rows(release("v2", **PERSONS), [3, 8], 10, 100)
    assert used(fed)["lab", "rows"] == 20, "for persons of whom nothing is known for sure, the most counts"
    assert "Nothing was changed" in rebuilt(fed)


def test_what_was_paid_after_the_last_block_is_kept_if_it_can_be_read(fed):
    clinic = fed.context("clinic")
    clinic.odometer.pay([release("late", 40, None, to=("lab",), population=clinic.population)])
    before = used(fed)
    cut(fed, 1)
    rebuilt(fed)
    assert used(fed) == before
    cut(fed, 1, name="_odometer.2")
    with pytest.raises((Damaged, Restored)):
        begin(fed)
    rebuilt(fed)
    assert used(fed)["lab", "progress"] == before["lab", "progress"]


def test_a_peers_bundle_knows_what_a_restored_store_has_forgotten(fed, tmp_path):
    """The whole store is from before the run was settled: only the peers still have the block."""
    bundle = tmp_path / "lab.zip"
    export(source(fed, "lab"), "<p>report</p>", bundle)
    before = used(fed)
    cut(fed, 2, 3)
    path_of(fed, "clinic", BLOCK).unlink()
    begin(fed)
    assert "Nothing was changed" in rebuilt(fed)
    status, shown = call("odometer", "rebuild", "--settings", fed.settings("clinic"), "--bundle", bundle)
    assert status == 0 and "1 statements of clinic" in shown and Restored.code in shown, shown
    assert used(fed) == before
    begin(fed)


def test_a_bundle_of_another_agreement_or_a_forged_block_says_nothing(fed, tmp_path):
    bundle = tmp_path / "lab.zip"
    export(source(fed, "lab"), "<p>report</p>", bundle)
    agreement = fed.context("clinic").agreement
    assert stated_in_bundle(bundle, {}, "clinic", []) == {}
    assert list(stated_in_bundle(bundle, {"trial": agreement}, "clinic", [])["trial"]) == [1]
    assert stated_in(source(fed, "lab"), agreement, "lab") == {}
    path_of(fed, "lab", BLOCK).write_bytes(b"nonsense")
    assert stated_in(source(fed, "lab"), agreement, "clinic") == {}


def test_persons_of_whom_the_snapshot_is_lost_count_with_the_most(tmp_path):
    store, keys = LocalStore(tmp_path), party_keys("clinic")
    Odometer(store, keys).pay_rows(release("v1", **PERSONS), [3, 7], 10, 100)
    store.delete(store.list("private/_odometer/")[0])
    assert isinstance(trouble(store, keys, {}), Damaged)
    rebuild(store, keys, {}, {})
    assert trouble(store, keys, {}) is None
    odometer = Odometer(store, keys)
    odometer.pay_rows(release("v2", **PERSONS), [99], 1, 100)
    assert [one.amount for one in odometer.readings()] == [11]
