"""Agreements as folders: the signed chain, rotation, moves, members, and what must not verify."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest
import yaml

from tombolo.agreements.agreement import Agreement, NotAMember, NotPinned, Unsigned, public_half
from tombolo.agreements.amendments import BadAmendment
from tombolo.agreements.reading import BadDocument
from tombolo.storage.identity import PartyKeys, SignatureRefused

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
        [{"pin": {"party": "lab"}}],
        [{"pin": {"party": "lab", **public_half(KEYS["clinic"])}}],
        [{"join": {"party": "mill", "role": "host", **public_half(KEYS["lab"]), "store": "file:///m"}}],
        [{"join": {"party": "mill", "role": "arbiter", **public_half(KEYS["mill"]), "store": "file:///m"}}],
        [{"leave": "lab"}],
        [{"leave": "notary"}],
        [{"pin": {"party": "lab", "store": "file:///l"}, "leave": "notary"}],
        [],
    ],
)
def test_changes_that_cannot_be(folder, changes):
    before = pinned(folder)
    with pytest.raises(BadAmendment):
        before.write_amendment(changes)
    assert Agreement.load(folder).digest == before.digest


def test_an_arbiter_is_replaced_in_one_amendment(folder):
    mill = {"party": "mill", "role": "arbiter", **public_half(KEYS["mill"]), "store": "file:///mill"}
    pinned(folder).write_amendment([{"leave": "notary"}, {"join": mill}])
    sign(folder, *KEYS.values())
    assert Agreement.load(folder).roles() == {"clinic": "guest", "lab": "host", "mill": "arbiter"}


def test_the_last_but_one_host_may_not_leave_without_the_waiver(folder):
    """One host alone would show its directions to the guest, which the terms then have to say."""
    parties = {"clinic": {"role": "guest"}, "lab": {"role": "host"}, "mill": {"role": "host"}}
    task = {"protocol": "logistic-guest", "label": {"column": "y"}}

    def small(waivers: list[str]) -> None:
        for old in [*folder.glob("amendments/*"), *folder.glob("signatures/*")]:
            old.unlink()
        terms = {**TERMS, "parties": parties, "task": {**task, "waivers": waivers}}
        (folder / "agreement.yaml").write_text(yaml.safe_dump(terms, sort_keys=False))
        Agreement.pin_all(folder, {name: (KEYS[name], f"file:///{name}") for name in parties}).write_amendment([{"leave": "mill"}])

    with pytest.raises(BadAmendment, match="directions"):
        small([])
    small(["disclose-direction-to-guest"])
    sign(folder, *KEYS.values())
    assert list(Agreement.load(folder).roles()) == ["clinic", "lab"]


def test_an_arbiter_that_values_coalitions_may_not_leave_without_another(folder):
    """Nobody could measure them then without seeing the hosts' scores, which the terms would have to say."""
    parties = {"clinic": {"role": "guest"}, "lab": {"role": "host"}, "mill": {"role": "host"}, "notary": {"role": "arbiter"}}

    def small(waivers: list[str]) -> None:
        for old in [*folder.glob("amendments/*"), *folder.glob("signatures/*")]:
            old.unlink()
        task = {"protocol": "logistic-guest", "label": {"column": "y"}, "waivers": waivers}
        terms = {**TERMS, "parties": parties, "task": task, "incentives": {"budget": 100}}
        (folder / "agreement.yaml").write_text(yaml.safe_dump(terms, sort_keys=False))
        Agreement.pin_all(folder, {name: (KEYS[name], f"file:///{name}") for name in parties}).write_amendment(
            [{"leave": "notary"}]
        )

    with pytest.raises(BadAmendment, match="without an arbiter"):
        small([])
    small(["disclose-coalition-scores-to-guest"])


def test_the_first_amendment_only_pins_and_pins_all(folder):
    pins = [{"pin": {"party": name, **public_half(KEYS[name]), "store": f"file:///{name}"}} for name in ("clinic", "lab", "notary")]
    unsigned = Agreement.load(folder, verify=False)
    join = {"party": "mill", "role": "host", **public_half(KEYS["mill"]), "store": "file:///mill"}
    for changes in (pins[:2], [*pins, {"join": join}], [*pins, {"leave": "lab"}]):
        with pytest.raises(BadAmendment, match="first amendment"):
            unsigned.write_amendment(changes)


def test_a_forged_amendment_does_not_verify(folder):
    """Neither one that was changed after signing, nor one that an outsider signed."""
    pinned(folder).write_amendment([{"pin": {"party": "lab", "store": "file:///moved"}}])
    sign(folder, *(KEYS[name] for name in ("clinic", "lab", "notary")))
    path = folder / "amendments" / "0002.yaml"
    honest = path.read_text()
    path.write_text(honest.replace("moved", "stolen"))
    with pytest.raises(Unsigned):
        Agreement.load(folder)
    forged = Agreement.load(folder, verify=False).digest
    for signature in list((folder / "signatures").glob(f"{Agreement.load(folder, verify=False).chain[-2].digest[:16]}.*")):
        (signature.parent / signature.name.replace(signature.name.split(".")[0], forged[:16])).write_text(signature.read_text())
    with pytest.raises(SignatureRefused):
        Agreement.load(folder)
    assert Agreement.load(folder, verify=False).sign(KEYS["mill"]) == []
    path.write_text(honest)
    assert Agreement.load(folder).members["lab"].store == "file:///moved"


def test_a_signature_under_one_algorithm_alone_is_none(folder):
    pinned(folder)
    path = next((folder / "signatures").glob("*.lab.*"))
    document = json.loads(path.read_text())
    whole = base64.b64decode(document["signature"])
    for broken in (whole[:65] + bytes(len(whole) - 65), whole[:1] + bytes(64) + whole[65:], b"", b"\x01"):
        path.write_text(json.dumps({**document, "signature": base64.b64encode(broken).decode()}))
        with pytest.raises(SignatureRefused):
            Agreement.load(folder)
    for text in ("{}", "[1]", "not json", '{"signature": 5}'):
        path.write_text(text)
        with pytest.raises(SignatureRefused):
            Agreement.load(folder)


def test_two_parties_with_different_texts_have_different_digests(folder, tmp_path):
    ours = pinned(folder)
    theirs = tmp_path / "peer" / "trial"
    shutil.copytree(folder, theirs)
    assert Agreement.load(theirs).digest == ours.digest
    Agreement.load(theirs).write_amendment([{"pin": {"party": "lab", "store": "file:///elsewhere"}}])
    assert Agreement.load(theirs, verify=False).digest != ours.digest


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
