"""Parameters and manifests: choices within the agreed ranges, and one manifest whatever the order of joins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombolo.agreements.agreement import Agreement
from tombolo.agreements.manifest import BadManifest, Invitation, Join, Manifest, Software
from tombolo.agreements.parameters import BadParameter, choose, parameters
from tombolo.agreements.reading import BadDocument, read_model
from tombolo.agreements.task import SHORTEST_KEY
from tombolo.agreements.terms import Terms
from tombolo.fl_tasks.crypto.paillier import MIN_BITS
from tombolo.fl_tasks.learning.parameters import Averaged, BatchedRegression, EncryptedRegression

ALLOWED = parameters(
    {"rounds": {"default": 20, "min": 5, "max": 50}, "l2": {"default": 0.1, "allowed": [0.1, 1.0]}},
    EncryptedRegression,
    "logistic-arbiter",
)
NOW = "2026-01-01T00:00:00+00:00"


@given(st.integers(-10, 100))
def test_a_range_is_kept(rounds):
    if 5 <= rounds <= 50:
        assert choose(ALLOWED, {"rounds": rounds})["rounds"] == rounds
    else:
        with pytest.raises(BadParameter, match="rounds"):
            choose(ALLOWED, {"rounds": rounds})


@given(
    st.dictionaries(st.sampled_from(sorted(ALLOWED)), st.one_of(st.none(), st.text(), st.booleans(), st.floats(), st.integers()))
)
def test_choices_are_complete_or_refused(choices):
    try:
        chosen = choose(ALLOWED, choices)
    except BadParameter:
        return
    assert list(chosen) == sorted(ALLOWED)
    assert choose(ALLOWED, chosen) == chosen


def test_unknown_fixed_and_foreign_parameters():
    for choices in ({"colour": 1}, {"tolerance": 0.5}, {"l2": 0.5}):
        with pytest.raises(BadParameter):
            choose(ALLOWED, choices)
    with pytest.raises(BadParameter, match="batch_rows"):
        parameters({"batch_rows": 100}, EncryptedRegression, "logistic-arbiter")


def test_a_word_is_one_of_those_that_there_are():
    allowed = parameters({"strategy": {"default": "fedprox", "allowed": ["fedavg", "fedprox"]}}, Averaged, "horizontal-mlp")
    assert choose(allowed, {})["strategy"] == "fedprox"
    assert choose(allowed, {"strategy": "fedavg"})["strategy"] == "fedavg"
    for refused in ("fedadam", "FedAvg", 1, None, True):
        with pytest.raises(BadParameter, match="strategy must be one of"):
            choose(allowed, {"strategy": refused})


@pytest.mark.parametrize(
    "allowed", ["1024", "{default: 2048, min: 1024, max: 4096}", "{default: 2048, allowed: [2048, 1024]}", "1536", "2049"]
)
def test_short_keys_are_refused(tmp_path, allowed):
    """In a test run as anywhere: only what is handed in counts, and the other stages of reading keep to it."""
    (tmp_path / "trial").mkdir()
    file = tmp_path / "trial" / "agreement.yaml"
    file.write_text(f"""\
schema: tombolo.terms/1
name: trial
parties: {{clinic: {{role: guest}}, lab: {{role: host}}, notary: {{role: arbiter}}}}
task:
  protocol: linear
  label: {{column: y}}
  parameters:
    key_bits: {allowed}
alignment: {{id: [{{column: id}}]}}
""")
    for read in (lambda: read_model(file, Terms), lambda: Agreement.load(file.parent, verify=False)):
        with pytest.raises(
            BadDocument, match=r"agreement\.yaml:8: task\.parameters\.key_bits: key_bits must be 2048, 3072 or 4096\."
        ):
            read()
    if "1024" in allowed:
        terms = Agreement.load(file.parent, verify=False, shortest_key=1024).terms
        assert terms.choose({"key_bits": 1024})["key_bits"] == 1024


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_the_shortest_key_of_terms_is_that_of_the_kernels(bits):
    assert SHORTEST_KEY == MIN_BITS == 2048
    assert parameters({"key_bits": bits}, BatchedRegression, "linear")["key_bits"].default == bits


def invitation(**changes) -> Invitation:
    document = {"run": "r", "kind": "train", "agreement": "a", "agreement_digest": "0" * 64, "initiator": "clinic"}
    document |= {"parameters": {"l2": 0.1}, "as_of": NOW, "created": NOW, "expires": NOW, "model": None}
    return Invitation.from_document({**document, **changes})


@given(st.permutations(["a", "b", "c", "d"]))
def test_a_manifest_does_not_depend_on_the_order_of_joins(order):
    invited = invitation()
    joins = {
        name: Join(run="r", party=name, invitation_digest=invited.digest, seal="x", approver="automatic", created=NOW)
        for name in "abcd"
    }
    made = Manifest.build(invited, [joins[name] for name in order])
    assert made.digest == Manifest.build(invited, list(joins.values())).digest
    assert Manifest.from_document(made.document()) == made


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "steal"},
        {"expires": "tomorrow"},
        {"agreement_digest": "zz"},
        {"extra": 1},
        {"run": "x" * 300},
        {"parameters": {"l2": [1]}},
    ],
)
def test_hostile_invitations_are_refused(changes):
    with pytest.raises(BadManifest):
        invitation(**changes)


@pytest.mark.parametrize("text", ["9\nINFO all is well", "\x1b[2K1.0", "<b>1</b>", "", "-1"])
def test_names_of_software_are_names(text):
    assert str(Software(distribution="tombolo-mean-difference", version="1.0.0rc1+local", wire=1)).endswith("messages 1")
    for one in ({"distribution": text, "version": "1"}, {"distribution": "tombolo", "version": text}):
        with pytest.raises(BadManifest) as caught:
            Software.from_document({**one, "wire": 1, "all is well\n": 1})
        assert str(caught.value).isprintable() and "all is well" not in str(caught.value)
