"""YAML that people, or peers, wrote: what is refused, and how the mistake is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tombolo.agreements.parameters import known
from tombolo.agreements.protocol import GROUP, protocol_named
from tombolo.agreements.reading import BadDocument, read_model, read_yaml
from tombolo.agreements.settings import AgreementSettings, NoSettings, PartySettings
from tombolo.agreements.task import TaskTerms
from tombolo.agreements.terms import (
    AlignmentTerms,
    DeadlineTerms,
    IncentiveTerms,
    LimitTerms,
    LiveTerms,
    QualityTerms,
    RetentionTerms,
    Terms,
)
from tombolo.fl_tasks.learning.terms import BoostingTerms, NetworkTerms, PrivacyTerms
from tombolo.storage.identity import BadKeyMaterial, PartyKeys
from tombolo.storage.plugins import offered

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "federations").glob("*/agreement.yaml"))
TERMS = """\
schema: tombolo.terms/1
name: trial
parties:
  clinic: {role: guest}
  lab: {role: host}
  notary: {role: arbiter}
task:
  protocol: linear
  label: {column: y}
  parameters:
    tolerance: 1e-5
    rounds: 9
alignment:
  id: [{column: id}]
"""


def refused(tmp_path: Path, text: str) -> str:
    path = tmp_path / "agreement.yaml"
    path.write_text(text)
    with pytest.raises(BadDocument) as caught:
        read_model(path, Terms)
    return str(caught.value)


def accepted(tmp_path: Path, text: str) -> Terms:
    path = tmp_path / "agreement.yaml"
    path.write_text(text)
    return read_model(path, Terms)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_examples_are_whole(path):
    terms = read_model(path, Terms)
    assert terms.name == path.parent.name
    assert terms.choose({}).get("key_bits", 2048) == 2048


def test_numbers_as_people_write_them(tmp_path):
    terms = accepted(tmp_path, TERMS)
    assert terms.choose({})["tolerance"] == 1e-5
    assert terms.digest == accepted(tmp_path, TERMS.replace("1e-5", "1.0e-05").replace("rounds: 9", "rounds: 9.0")).digest


@given(data=st.data())
def test_the_digest_is_that_of_the_meaning(data):
    """Neither the order of fields nor explicit defaults change it; the parties' order, and any value, do."""
    document = yaml.safe_load(TERMS.replace("1e-5", "1.0e-5"))
    plain = Terms.model_validate(document)
    shuffled = {name: document[name] for name in data.draw(st.permutations(sorted(document)))}
    assert Terms.model_validate({**shuffled, "leg": 5, "joining": "automatic"}).digest == plain.digest
    parties = {name: document["parties"][name] for name in data.draw(st.permutations(sorted(document["parties"])))}
    same = list(parties) == list(document["parties"])
    assert (Terms.model_validate({**document, "parties": parties}).digest == plain.digest) is same
    leg = data.draw(st.integers(1, 50))
    assert (Terms.model_validate({**document, "leg": leg}).digest == plain.digest) is (leg == 5)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  lab: {role: host}", "  lab: {rule: host}", "agreement.yaml:5: parties.lab.rule: unknown field; did you mean role?"),
        ("    rounds: 9", "    roundz: 9", "agreement.yaml:12: task.parameters.roundz: linear with engine paillier has no"),
        ("    rounds: 9", "    rounds: {default: 9, min: 10, max: 20}", ":12: task.parameters.rounds: rounds must lie"),
        ("  lab: {role: host}\n", "", "agreement.yaml:3: parties: linear needs exactly one guest"),
        ("  notary: {role: arbiter}\n", "", "linear needs exactly one guest, at least one host, exactly one arbiter"),
        ("name: trial", "name: trial\nname: other", "agreement.yaml:3: name occurs twice"),
        ("name: trial", "name: trial\nschedule: often", "agreement.yaml:3: schedule: give a cron expression"),
        ("name: trial", "name: trial\ndeadlines: {message: .inf}", ":3: deadlines.message: Input should be a finite"),
        ("name: trial", "name: trial\nleg: 2026-99-99", "cannot be read"),
        ("name: trial", "name: !!python/object/apply:os.getcwd []", "agreement.yaml:2: not YAML"),
        ("alignment:\n  id: [{column: id}]", "", "alignment: Field required"),
        ("name: trial", "name: trial\nincentives: {budget: 5, refunds: {notary: 6}}", ":3: incentives.refunds: their sum"),
        ("name: trial", "name: trial\nincentives: {budget: 5, refunds: {mill: 1}}", ":3: incentives.refunds: mill is not a party"),
        ("name: trial", "name: trial\nincentives: {budget: 5, metric: auc}", ":3: incentives.metric: auc does not fit linear"),
        ("name: trial", "name: trial\nincentives: {budget: 5, method: volume, live: {budget: 1}}", ":3: incentives.live: it pays"),
        ("name: trial", "name: trial\nincentives: {budget: 5, currency: Euro}", ":3: incentives.currency"),
    ],
)  # fmt: skip
def test_a_mistake_is_shown_where_it_is(tmp_path, old, new, expected):
    assert old in TERMS
    assert expected in refused(tmp_path, TERMS.replace(old, new))


@pytest.mark.parametrize(
    ("hosts", "protocol", "incentives", "expected"),
    [
        (2, "logistic-guest", "{budget: 1}", "incentives.method: without an arbiter no party may see"),
        (2, "logistic-guest", "{budget: 1, method: volume}", None),
        (2, "logistic-guest", "{budget: 1, absent: retrain, method: volume}", None),
        (6, "linear", "{budget: 1, absent: retrain}", "incentives.absent: retrain is for at most 6 data parties"),
        (5, "linear", "{budget: 1, absent: retrain}", None),
        (9, "linear", "{budget: 1}", None),
    ],
)
def test_how_coalitions_are_valued_must_be_possible(tmp_path, hosts, protocol, incentives, expected):
    more = "".join(f"  host{number}: {{role: host}}\n" for number in range(hosts - 1))
    notary = "" if protocol == "logistic-guest" else "  notary: {role: arbiter}\n"
    text = TERMS.replace("  notary: {role: arbiter}\n", more + notary).replace("protocol: linear", f"protocol: {protocol}")
    text = f"{text}incentives: {incentives}\n"
    if expected is None:
        (tmp_path / "agreement.yaml").write_text(text)
        read_model(tmp_path / "agreement.yaml", Terms)
    else:
        assert expected in refused(tmp_path, text)


def test_directions_are_not_shown_again_for_every_coalition(tmp_path):
    """Not even where an arbiter takes part, or the hosts have waived that the guest sees coalitions' scores."""
    text = TERMS.replace("protocol: linear", "protocol: logistic-guest\n  waivers: [disclose-direction-to-guest]")
    assert "incentives.absent: with logistic-guest every new training would show" in refused(
        tmp_path, f"{text}incentives: {{budget: 1, absent: retrain}}\n"
    )


def test_all_mistakes_at_once(tmp_path):
    text = refused(tmp_path, TERMS.replace("role: host", "role: The Boss").replace("column: id", "colunm: id"))
    assert "parties.lab.role" in text
    assert "did you mean column?" in text


def test_documents_that_blow_up_are_refused(tmp_path):
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    assert "too large" in refused(tmp_path, bomb)
    assert "too large" in refused(tmp_path, "a: &a [*a]\n")
    assert "nested more than 100 levels deep" in refused(tmp_path, "[" * 20_000)
    assert "larger than" in refused(tmp_path, "# " + "x" * (1 << 20))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    try:
        read_yaml(path)
    except BadDocument:
        return


def test_the_reference_names_every_field():
    page = (ROOT / "docs" / "agreements.md").read_text()
    terms = (
        Terms,
        TaskTerms,
        BoostingTerms,
        NetworkTerms,
        PrivacyTerms,
        AlignmentTerms,
        LimitTerms,
        DeadlineTerms,
        QualityTerms,
        IncentiveTerms,
        LiveTerms,
        RetentionTerms,
    )
    models = (*terms, PartySettings, AgreementSettings)
    names = {field.alias or name for model in models for name, field in model.model_fields.items()} | {
        name
        for protocol in offered(GROUP)
        for engine in protocol_named(protocol).protocol.engines.values()
        for name in known(engine.parameters)
    }
    assert not [name for name in names if not re.search(rf"`([a-z]+\.)?{name}(\.[<>a-z]+)?`", page)]


SETTINGS = "party: lab\nkeys: file:./keys.json\nstore: file:./store\nfederations: ./agreed\n"


def test_settings_are_relative_to_their_file(tmp_path, monkeypatch):
    path = tmp_path / "party.yaml"
    path.write_text(SETTINGS)
    keys = PartyKeys.new("lab")
    keys.save(tmp_path / "keys.json")
    monkeypatch.setenv("TOMBOLO_PARTY", str(path))
    settings = PartySettings.load()
    assert (settings.folder, settings.federations) == (tmp_path, tmp_path / "agreed")
    assert settings.load_keys().signing.public() == keys.signing.public()
    assert settings.for_agreement("unknown").table is None
    monkeypatch.delenv("TOMBOLO_PARTY")
    with pytest.raises(NoSettings):
        PartySettings.load()


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("agreements: {a: {table: {source: sql, connection: c}}}", "agreements.a.table.source: sql takes connection and query"),
        ("agreements: {a: {table: {source: csv}}}", "takes path"),
        ("agreements: {a: {tabel: {source: csv, path: x}}}", "did you mean table?"),
        ("workers: 0", "party.yaml:5: workers"),
        ("executor: tcp://cluster:8786", "party.yaml:5: executor: executor must be dask://host:port or tls://host:port"),
        ("executor: tls://cluster", "executor must be dask://host:port"),
        ("executor: tls://user@cluster:8786", "executor must be dask://host:port"),
        ("executor: dask://10.0.0.4:8786", "dask:// is not encrypted"),
        ("executor: dask://cluster:8786", "dask:// is not encrypted"),
    ],
)
def test_settings_that_do_not_fit(tmp_path, extra, expected):
    path = tmp_path / "party.yaml"
    path.write_text(SETTINGS + extra + "\n")
    with pytest.raises(BadDocument) as caught:
        PartySettings.load(path)
    assert expected in str(caught.value)


def test_keys_of_another_party_or_open_to_others_are_refused(tmp_path):
    path, keys = tmp_path / "party.yaml", tmp_path / "keys.json"
    path.write_text(SETTINGS)
    PartyKeys.new("mill").save(keys)
    with pytest.raises(BadKeyMaterial, match="mill"):
        PartySettings.load(path).load_keys()
    keys.chmod(0o644)
    with pytest.raises(BadKeyMaterial, match="chmod 600"):
        PartySettings.load(path).load_keys()
    path.write_text(SETTINGS.replace("file:./keys.json", "./keys.json"))
    with pytest.raises(BadDocument, match="file:PATH"):
        PartySettings.load(path).load_keys()


@pytest.mark.parametrize("text", ["[" * 1_000_000, "- " * 400_000, "{a: " * 200_000], ids=["flow", "block", "mapping"])
def test_a_file_that_is_nested_too_deeply_is_refused(tmp_path, text):
    """libyaml's loader recurses without a limit: such a file of a peer would kill the process."""
    assert "nested more than 100 levels deep" in refused(tmp_path, text)
