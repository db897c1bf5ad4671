"""Agreements as folders: the signed chain, rotation, moves, members, and what must not verify."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from contracts.agreement import Agreement, NotAMember, NotPinned, Unsigned, public_half
from contracts.amendments import BadAmendment
from contracts.reading import BadDocument
from storage.identity import PartyKeys, SignatureRefused

KEYS = {name: PartyKeys.new(name) for name in ("clinic", "lab", "notary", "mill")}
NEW_LAB = PartyKeys.new("lab")
TERMS = {
    "schema": "tombolo.terms/1",
    "name": "trial",
    "parties": {"clinic": {"role": "guest"}, "lab": {"role": "host"}, "notary": {"role": "arbiter"}},
    "task": {"protocol": "logistic-arbiter", "label": {"column": "y"}},
    "alignment": {"id": [{"column": "id"}]},
}


@pytest.fixture
def folder(tmp_path) -> Path:
    made = tmp_path / "trial"
    made.mkdir()
    (made / "agreement.yaml").write_text(yaml.safe_dump(TERMS, sort_keys=False))
    return made


def pinned(folder: Path) -> Agreement:
    return Agreement.pin_all(folder, {name: (KEYS[name], f"file:///{name}") for name in ("clinic", "lab", "notary")})


def sign(folder: Path, *keys: PartyKeys) -> None:
    for one in keys:
        Agreement.load(folder, verify=False).sign(one)


def test_all_sign_terms_and_the_first_amendment(folder):
    with pytest.raises(NotPinned):
        Agreement.load(folder)
    agreement = pinned(folder)
    assert agreement.roles() == {"clinic": "guest", "lab": "host", "notary": "arbiter"}
    assert len(agreement.signatures()) == 6
    assert agreement.digest == Agreement.load(folder).digest != agreement.terms.digest
    agreement.require_member("lab", KEYS["lab"])
    with pytest.raises(NotAMember):
        agreement.require_member("lab", NEW_LAB)


def test_a_missing_signature_is_named(folder):
    pinned(folder)
    next((folder / "signatures").glob("*.lab.*")).unlink()
    with pytest.raises(Unsigned, match="lab"):
        Agreement.load(folder)


def test_a_forged_signature_is_refused(folder):
    pinned(folder)
    mine, theirs = (next((folder / "signatures").glob(f"*.{name}.*")) for name in ("lab", "notary"))
    document = json.loads(mine.read_text())
    document["signature"] = json.loads(theirs.read_text())["signature"]
    mine.write_text(json.dumps(document))
    with pytest.raises(SignatureRefused):
        Agreement.load(folder)


def test_changed_terms_unseat_every_signature(folder):
    before = pinned(folder)
    (folder / "agreement.yaml").write_text(yaml.safe_dump({**TERMS, "leg": 7}, sort_keys=False))
    with pytest.raises(BadAmendment):
        Agreement.load(folder)
    assert before.terms.leg == 5


def test_a_key_rotates_and_the_past_still_verifies(folder):
    before = pinned(folder)
    before.write_amendment([{"pin": {"party": "lab", **public_half(NEW_LAB)}}])
    sign(folder, KEYS["clinic"], KEYS["notary"], KEYS["lab"])
    with pytest.raises(Unsigned, match="lab"):
        Agreement.load(folder)  # the new key has not proved itself
    sign(folder, NEW_LAB)
    after = Agreement.load(folder)
    assert after.digest != before.digest
    after.require_member("lab", NEW_LAB)
    with pytest.raises(NotAMember):
        after.require_member("lab", KEYS["lab"])
    assert after.members["lab"].store == "file:///lab"


def test_a_store_moves_a_member_joins_and_leaves(folder):
    pinned(folder).write_amendment([{"pin": {"party": "clinic", "store": "s3://c?endpoint=https://x"}}])
    sign(folder, *(KEYS[name] for name in ("clinic", "lab", "notary")))
    join = {"party": "mill", "role": "host", **public_half(KEYS["mill"]), "store": "file:///mill"}
    Agreement.load(folder).write_amendment([{"join": join}])
    sign(folder, *KEYS.values())
    grown = Agreement.load(folder)
    assert list(grown.roles()) == ["clinic", "lab", "notary", "mill"]
    grown.write_amendment([{"leave": "lab"}])
    with pytest.raises(Unsigned):
        Agreement.load(folder)
    sign(folder, *KEYS.values())
    small = Agreement.load(folder)
    assert list(small.roles()) == ["clinic", "notary", "mill"]
    assert small.members["clinic"].store == "s3://c?endpoint=https://x"


@pytest.mark.parametrize(
    "changes",
    [
        [{"leave": "clinic"}],
        [{"leave": "nobody"}],
        [{"pin": {"party": "mill", "store": "file:///m"}}],
        [{"join": {"party": "lab", "role": "host", **public_half(NEW_LAB), "store": "file:///l"}}],
    ],
)
def test_changes_that_cannot_be(folder, changes):
    with pytest.raises(BadAmendment):
        pinned(folder).write_amendment(changes)


def test_amendments_are_a_chain(folder):
    agreement = pinned(folder)
    agreement.write_amendment([{"pin": {"party": "lab", "store": "file:///elsewhere"}}])
    path = folder / "amendments" / "0002.yaml"
    document = yaml.safe_load(path.read_text())
    for change in ({"previous": "0" * 64}, {"number": 3}):
        path.write_text(yaml.safe_dump({**document, **change}))
        with pytest.raises(BadAmendment):
            Agreement.load(folder, verify=False)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"legg": 5}, "did you mean leg"),
        ({"leg": 0}, "leg"),
        ({"parties": {"clinic": {"role": "boss"}}}, "guest"),
        ({"scores": ["notary"]}, "holds no data"),
        ({"task": {"protocol": "linear", "label": {"column": "y"}, "parameters": {"roundz": 3}}}, "roundz"),
        (
            {
                "task": {
                    "protocol": "linear",
                    "label": {"column": "y"},
                    "parameters": {"rounds": {"default": 9, "min": 1, "max": 5}},
                }
            },
            "between",
        ),
        ({"task": {"protocol": "linear", "label": {"column": "y"}, "parameters": {"key_bits": 512}}}, "key_bits"),
        ({"schedule": "sometimes"}, "cron"),
        ({"alignment": {"id": [{"column": "id"}], "duplicates": "keep-latest"}}, "latest_by"),
    ],
)
def test_mistakes_are_explained_with_file_and_line(folder, change, expected):
    (folder / "agreement.yaml").write_text(yaml.safe_dump({**TERMS, **change}, sort_keys=False))
    with pytest.raises(BadDocument) as caught:
        Agreement.load(folder, verify=False)
    assert expected in str(caught.value)
    assert "agreement.yaml:" in str(caught.value)


def test_text_that_is_not_yaml_names_the_line(folder):
    (folder / "agreement.yaml").write_text("name: trial\nparties: [unclosed\n")
    with pytest.raises(BadDocument, match=r"agreement\.yaml:\d+: not YAML"):
        Agreement.load(folder, verify=False)
