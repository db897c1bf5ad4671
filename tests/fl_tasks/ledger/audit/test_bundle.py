"""A bundle verifies without keys or store, shows no secret, and no byte of it can change unseen."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import random
import warnings
import zipfile

import pytest

from tests.federation import party_keys
from tests.fl_tasks.ledger.audit.settled import deleted, path_of, settled, source
from tombolo.agreements.settings import PartySettings
from tombolo.fl_tasks.ledger.audit import bundle as bundles
from tombolo.fl_tasks.ledger.audit.bundle import INDEX, SIGNATURE, BadBundle, BundleExists, export, opened
from tombolo.fl_tasks.ledger.audit.findings import Audit
from tombolo.fl_tasks.ledger.audit.source import StoreSource
from tombolo.fl_tasks.ledger.audit.verify import verify_documents, verify_store
from tombolo.storage.canonical import canonical
from tombolo.storage.identity import PartyKeys


@pytest.fixture(scope="module")
def fed(tmp_path_factory):
    return settled(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def whole(fed, tmp_path_factory):
    path = tmp_path_factory.mktemp("out") / "lab.zip"
    assert export(source(fed, "lab"), "<p>report</p>", path) > 30
    return path.read_bytes()


def verified(path) -> Audit:
    audit = Audit()
    with opened(audit, path) as found:
        verify_documents(audit, found)
    return audit


def refused(path) -> list[str]:
    """What is found wrong with a bundle; one that is refused as a whole counts as itself."""
    try:
        return [finding.name for finding in verified(path).findings]
    except BadBundle:
        return ["bundle"]


def rewritten(data: bytes, changes: dict[str, bytes | None], keys: PartyKeys | None = None) -> bytes:
    """A bundle with other members (None: left out); with ``keys``, its index is made to fit and signed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members |= {name: value for name, value in changes.items() if value is not None}
    members = {name: value for name, value in members.items() if changes.get(name, b"") is not None}
    if keys is not None:
        index = json.loads(members.pop(INDEX))
        members.pop(SIGNATURE)
        hashes = [[name, hashlib.sha256(value).hexdigest()] for name, value in members.items()]
        members[INDEX] = canonical({**index, "members": hashes})
        members[SIGNATURE] = keys.signing.sign(bundles.DOMAIN, members[INDEX])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, value in members.items():
            bundles._add(archive, name, value)
    return out.getvalue()


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_bundle_proves_what_the_store_does(fed, whole, tmp_path):
    path = tmp_path / "b.zip"
    path.write_bytes(whole)
    audit, (store, ends) = Audit(), verify_store(source(fed, "lab"))
    with opened(audit, path) as found:
        assert verify_documents(audit, found)[1] == ends
    assert audit.findings == []
    for part in ("agreement", "record", "blocks", "reconciliation", "manifests"):
        assert audit.counts[part] == store.counts[part]


def test_it_holds_no_secret_and_no_data(fed, whole):
    held = members(whole)
    assert not [name for name in held if "secret" in name or "seed" in name or "attestation" in name]
    keys = party_keys("lab")
    for secret in (keys.vault.raw, keys.signing.raw, keys.sealing.raw):
        assert all(secret[1:] not in value for value in held.values())
    assert {name.split("/")[0] for name in held} == {
        *("README.txt", "report.html", "agreement", "segments", "blocks", "runs", INDEX, SIGNATURE),
    }
    json.loads(held["blocks/000000001.json"])
    assert all(json.loads(line)["kind"] for line in held["segments/000000001.jsonl"].split(b"\n"))


def test_any_changed_byte_of_a_member_is_found_and_named(whole, tmp_path):
    path, data = tmp_path / "b.zip", bytearray(whole)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        places = {one.filename: whole.index(archive.read(one), one.header_offset) for one in archive.infolist()}
        sizes = {one.filename: one.file_size for one in archive.infolist()}
    for name, start in places.items():
        at = start + random.Random(name).randrange(sizes[name])
        data[at] ^= 1
        path.write_bytes(data)
        data[at] ^= 1
        found = refused(path)
        assert found
        if name not in (INDEX, SIGNATURE) and not name.startswith("agreement/"):
            assert name in found


def test_any_changed_byte_anywhere_is_found(whole, tmp_path):
    """All bytes of the first headers and of the archive's end, and a sample of the rest."""
    path, data = tmp_path / "b.zip", bytearray(whole)
    sample = random.Random(1).sample(range(len(data)), 150)
    directory = whole.index(b"PK\1\2")
    for at in [*range(0, 45), *range(directory, directory + 60), *range(len(data) - 22, len(data)), *sample]:
        data[at] ^= 1
        path.write_bytes(data)
        data[at] ^= 1
        assert refused(path), at


@pytest.mark.parametrize("change", ["added", "before", "after", "left out", "twice"])
def test_what_is_added_or_left_out(whole, tmp_path, change):
    path = tmp_path / "b.zip"
    data = {
        "added": lambda: rewritten(whole, {"notes.txt": b"x"}),
        "before": lambda: b"x" + whole,
        "after": lambda: whole + b"x",
        "left out": lambda: rewritten(whole, {"blocks/000000002.json": None}),
        "twice": lambda: _twice(whole),
    }[change]()
    path.write_bytes(data)
    assert refused(path)


def _twice(data: bytes) -> bytes:
    out = io.BytesIO(data)
    with warnings.catch_warnings(), zipfile.ZipFile(out, "a") as archive:
        warnings.simplefilter("ignore")
        bundles._add(archive, "README.txt", b"another")
    return out.getvalue()


def test_a_party_cannot_forge_its_own_bundle(fed, whole, tmp_path):
    """Its signature over the index is worth nothing against the members' signatures and its own earlier ones."""
    path, keys, held = tmp_path / "b.zip", party_keys("lab"), members(whole)
    last = max(name for name in held if name.startswith("segments/"))
    line = held["segments/000000002.jsonl"].replace(b'"size":', b'"size":1', 1)
    other = json.loads(held["runs/run-1/settle/pair/clinic.json"]) | {"salt": "00" * 32}
    cases = {
        "ledger/trial/segments/000000002": {"segments/000000002.jsonl": line},
        "ledger/trial/blocks/000000002": {"blocks/000000002.json": held["blocks/000000001.json"]},
        "ledger/trial/blocks/000000001": {"blocks/000000001.json": None},
        "ledger/trial/segments/000000003": {"segments/000000003.json": None, "segments/000000003.jsonl": None},
        f"ledger/trial/{last[:-6]}": {last: None, last[:-1]: None},
        "private/trial/runs/run-1/settle/pair/clinic": {"runs/run-1/settle/pair/clinic.json": canonical(other)},
        "private/trial/runs/run-2/manifest": {"runs/run-2/manifest.json": held["runs/run-1/manifest.json"]},
        "private/trial/runs/run-2/signatures/notary": {"runs/run-2/signatures/notary.sig": None},
        "private/trial/runs/run-1/settle/book/notary": {"runs/run-1/settle/book/notary.json": b"[1]"},
        "ledger/trial/segments/000000001": {"segments/000000001.json": b'{"header":{},"signature":"x"}'},
    }
    for name, changes in cases.items():
        path.write_bytes(rewritten(whole, changes, keys))
        assert name in refused(path)
    path.write_bytes(rewritten(whole, {}, party_keys("clinic")))
    assert refused(path) == [SIGNATURE]


def _another_name(member: zipfile.ZipInfo, name: str) -> zipfile.ZipInfo:
    other = copy.copy(member)
    other.filename = name
    return other


def test_hostile_archives_are_refused(whole, tmp_path, monkeypatch):
    path = tmp_path / "b.zip"
    for name in ("../evil", "/etc/evil", "a\\b", "a//b", "a/./b"):
        path.write_bytes(rewritten(whole, {name: b"x"}, party_keys("lab")))
        assert refused(path) == ["bundle"]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(INDEX, b"{}" * 1000)
    assert refused(path) == ["bundle"]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"x" * 1000)
        shared = archive.infolist()[0]
        archive.filelist.append(_another_name(shared, "b"))
    assert refused(path) == ["bundle"], "two members over the same bytes"
    for data in (b"", b"PK", b"\0" * 100):
        path.write_bytes(data)
        assert refused(path) == ["bundle"]
    for index in (b"{}", b"[]", b'"x"', b'{"members":[["a"]]}', canonical({"schema": "tombolo.audit/1", "members": 1})):
        path.write_bytes(rewritten(whole, {INDEX: index}))
        assert refused(path) == ["bundle"]
    index = json.loads(members(whole)[INDEX])
    path.write_bytes(rewritten(whole, {INDEX: canonical({**index, "agreement": "../../evil"})}))
    assert refused(path) == ["bundle"]
    path.write_bytes(whole)
    monkeypatch.setattr(bundles, "LARGEST", 10)
    assert refused(path) == ["bundle"]


def test_a_damaged_store_can_be_exported_and_the_gap_is_found(fed, tmp_path):
    path = tmp_path / "b.zip"
    with deleted(path_of(fed, "lab", "ledger/trial/blocks/000000001")):
        export(source(fed, "lab"), "", path)
    assert "ledger/trial/blocks/000000001" in refused(path)
    before = path.read_bytes()
    with pytest.raises(BundleExists):
        export(source(fed, "lab"), "", path)
    assert path.read_bytes() == before, "never overwritten"


def test_no_settings_are_needed(whole, tmp_path, monkeypatch):
    monkeypatch.delenv("TOMBOLO_PARTY", raising=False)
    monkeypatch.setattr(PartySettings, "load", None)
    monkeypatch.setattr(StoreSource, "open", None)
    path = tmp_path / "b.zip"
    path.write_bytes(whole)
    assert verified(path).findings == []
