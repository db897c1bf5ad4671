"""A run with a protocol, a table source and a store that come from a package outside the tree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.conformance import test_declared as declared
from tests.federation import Federation, federation
from tests.outside.package import DISTRIBUTION, EXAMPLE, ROLES, ROOT, SHRINK, json_lines, tables
from tests.rounded import rounded
from tombolo.agreements.agreement import Agreement
from tombolo.agreements.protocol import protocol_named
from tombolo.agreements.reading import BadDocument
from tombolo.agreements.settings import PartySettings
from tombolo.fl_tasks.crypto.paillier import MIN_BITS
from tombolo.fl_tasks.models.reading import NotTrained, part_of_run
from tombolo.fl_tasks.workflow.align import align
from tombolo.fl_tasks.workflow.comparison import compare
from tombolo.fl_tasks.workflow.evaluate import evaluate
from tombolo.fl_tasks.workflow.messages import every_set
from tombolo.fl_tasks.workflow.predict import predict
from tombolo.fl_tasks.workflow.publish import publish
from tombolo.fl_tasks.workflow.settle import settle
from tombolo.fl_tasks.workflow.train import train
from tombolo.fl_tasks.workflow.validate import validate
from tombolo.storage.errors import CodedError
from tombolo.storage.plugins import NoSuchPlugin, PluginNotAllowed
from tombolo.storage.stores.base import BadStoreAddress
from tombolo.storage.stores.opening import open_store


def laid(root: Path, positive: int | None = None, **terms: Any) -> Federation:
    """The federation of the package, with the bank's table and store of the package's kinds."""
    made = federation(
        root,
        tables(positive),
        roles=ROLES,
        protocol="mean-difference",
        parameters={"rounds": 1, "shrink": SHRINK},
        plugins=[DISTRIBUTION],
        **terms,
    )
    bank, path = root / "bank", made.settings("bank")
    (bank / "table.jsonl").write_text(json_lines(tables()["bank"]))
    (bank / "store").mkdir()
    source = {"source": "jsonlines", "path": "table.jsonl", "options": {"columns": ["c", "d", "e"]}}
    own = {"table": source, "predict_table": source}
    settings = {**yaml.safe_load(path.read_text()), "store": f"share://{bank / 'store'}", "agreements": {"trial": own}}
    path.write_text(yaml.safe_dump(settings))
    shop = yaml.safe_load(made.settings("shop").read_text())
    shop["agreements"]["trial"]["predict_table"] = shop["agreements"]["trial"]["table"]
    made.settings("shop").write_text(yaml.safe_dump(shop))
    return made


@pytest.fixture(scope="module")
def run(installed: str, tmp_path_factory: pytest.TempPathFactory) -> Federation:
    """A training run from its invitation to its block."""
    incentives = {"budget": 1000}
    made = laid(
        tmp_path_factory.mktemp("outside"), key_bits=MIN_BITS, incentives=incentives, waivers=["disclose-coalition-scores-to-guest"]
    )
    made.start("run-1")
    for stage in (validate, align, train, evaluate, publish, settle):
        made.results[stage.__name__] = made.stage(stage, "run-1")
    return made


def test_it_learns_what_one_place_would(run: Federation) -> None:
    evaluated = run.results["evaluate"]["shop"]
    compared = compare(run.name, {party: run.settings(party) for party in ROLES}, "run-1").models
    assert compared["federated"] == pytest.approx(compared["pooled"], abs=1e-6)
    assert evaluated["metrics"] == rounded(compared["pooled"], evaluated["rows"])
    assert compared["pooled"]["auc"] > compared["guest_only"]["auc"] + 0.02


def test_a_host_has_the_differences_of_its_own_columns(run: Federation) -> None:
    part = part_of_run(run.context("bank"), "run-1")
    assert part.encoder.names == ("c", "d", "e")
    assert part.document["weights"][2] > 0.5 and part.document["intercept"] is None


def test_all_parties_signed_with_what_they_compute(run: Federation) -> None:
    manifest = run.context("bank").manifest("run-1").document()
    software = {"distribution": DISTRIBUTION, "version": "1.0.0", "wire": 1}
    assert manifest["invitation"]["software"] == software
    assert [join["software"] for join in manifest["joins"]] == [software] * 3


def test_a_validator_hears_the_metrics_and_signs_the_block(run: Federation) -> None:
    """It has neither data nor key: it joins, and settles."""
    regulator = run.context("regulator")
    assert run.results["align"]["regulator"] == {}
    assert run.results["evaluate"]["regulator"]["metrics"] == run.results["evaluate"]["shop"]["metrics"]
    assert run.results["settle"]["regulator"] == run.results["settle"]["shop"]
    assert run.results["settle"]["regulator"]["signers"] == sorted(ROLES)
    assert set(run.results["settle"]["regulator"]["contributions"]["shapley"]) == {"shop", "bank"}
    with pytest.raises(NotTrained):
        part_of_run(regulator, "run-1")
    heard = {entry.message for entry in regulator.books("run-1").entries("received")}
    assert not heard & set(protocol_messages())


def test_new_rows_are_scored_while_the_validator_looks_on(run: Federation) -> None:
    run.start("run-2", kind="predict", model="run-1")
    for stage in (validate, align, predict, settle):
        found = run.stage(stage, "run-2")
        run.results[f"{stage.__name__}, new"] = found
    assert run.results["predict, new"]["shop"]["rows"] == 400
    assert run.results["settle, new"]["regulator"]["height"] == 2


def protocol_messages() -> dict[str, Any]:
    return dict(every_set([DISTRIBUTION])["mean-difference"])


def test_its_leakage_table_is_made_from_its_messages(installed: str) -> None:
    table = every_set([DISTRIBUTION])["mean-difference"].leakage_table()
    assert "| 1 | contrasts | guest | host | c: paillier | nothing: ciphertexts under the guest's key | - |" in table
    assert table in (ROOT / "docs" / "write-a-protocol.md").read_text()
    assert "mean-difference" not in every_set()


def test_the_page_shows_the_package_as_it_is() -> None:
    page = (ROOT / "docs" / "write-a-protocol.md").read_text()
    source = "".join(path.read_text() for path in (EXAMPLE / "src" / "tombolo_mean_difference").glob("*.py"))
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 6
    assert [block for block in blocks if block not in source] == []


def test_it_conforms(installed: str) -> None:
    protocol = protocol_named("mean-difference", [DISTRIBUTION]).protocol
    declared.test_disclosures_are_pinned(protocol, "paillier")
    declared.test_programs_are_for_declared_roles(protocol, "paillier")
    declared.test_parts_can_be_loaded(protocol)
    declared.test_every_parameter_can_be_explained(protocol)
    declared.test_a_name_means_one_thing_in_a_run(protocol)


def test_the_protocol_is_short() -> None:
    lines = (EXAMPLE / "src" / "tombolo_mean_difference" / "programs.py").read_text().splitlines()
    assert 60 <= sum(bool(line.strip()) for line in lines) <= 80


def test_its_own_error_reaches_the_user_and_the_peers(installed: str, tmp_path: Path) -> None:
    made = laid(tmp_path, positive=20)
    made.start("run-1")
    for stage in (validate, align):
        made.stage(stage, "run-1")
    with pytest.raises(CodedError) as caught:
        made.stage(train, "run-1")
    assert str(caught.value).startswith("MEANDIFF-TRAIN-001 (party shop, step train): There are too few training rows")
    with pytest.raises(CodedError, match="MEANDIFF-TRAIN-001"):
        made.context("regulator").watch("run-1", None).check_aborts("regulator")  # type: ignore[arg-type]


def test_gone_in_mid_run_and_back(installed: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    made = laid(tmp_path)
    made.start("run-1")
    made.stage(validate, "run-1")
    request.getfixturevalue("gone")
    with pytest.raises(NoSuchPlugin) as caught:
        made.context("bank")
    assert caught.value.party == "bank" and "mean-difference" in str(caught.value)
    settings = PartySettings.load(made.settings("bank"))
    with pytest.raises(BadStoreAddress, match="The scheme share is unknown; known schemes: airflow, file, memory, s3"):
        settings.open_store(settings.store)


def test_an_installed_package_does_nothing_until_it_is_allowed(installed: str, tmp_path: Path) -> None:
    made = laid(tmp_path)
    path = made.settings("bank")
    settings = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**settings, "plugins": []}))
    with pytest.raises(PluginNotAllowed) as caught:
        made.context("bank")
    assert str(caught.value).startswith("TMB-PLUGIN-002 (party bank)") and DISTRIBUTION in str(caught.value)
    with pytest.raises(PluginNotAllowed):
        open_store("share:///tmp")
    with pytest.raises(PluginNotAllowed):
        Agreement.load(made.root / "federations" / "trial")


def test_the_first_version_of_terms_knows_no_plug_in(installed: str, tmp_path: Path) -> None:
    with pytest.raises(BadDocument, match=r"mean-difference comes from a plug-in, which needs schema: tombolo\.terms/2"):
        laid(tmp_path, schema="tombolo.terms/1")


def test_a_source_of_the_package_checks_its_settings(installed: str, tmp_path: Path) -> None:
    made = laid(tmp_path)
    path = made.settings("bank")
    path.write_text(path.read_text().replace("columns:", "colums:"))
    with pytest.raises(BadDocument, match=r"party.yaml:\d+: agreements.trial.table.source: jsonlines takes path, and columns"):
        PartySettings.load(path)


def test_weights_are_shrunk(installed: str) -> None:
    from tombolo_mean_difference.reference import shrunk  # type: ignore[import-not-found]

    assert shrunk(np.array([0.3, -0.3, 0.05]), 0.1).tolist() == pytest.approx([0.2, -0.2, 0.0])
