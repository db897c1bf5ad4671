"""What is wrong with a plug-in is a coded error in its own agreement's DAG; all other agreements keep theirs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from tests.dags.test_federation_dags import parse
from tests.outside.conftest import forget, with_path
from tests.outside.package import DISTRIBUTION, ROLES, agreement, tables
from tombolo.agreements.settings import PartySettings, TableSettings
from tombolo.cli.simulation.layout import Layout, lay_out
from tombolo.fl_tasks.tables.source import read_table
from tombolo.storage.plugins import BrokenPlugin, NoSuchPlugin
from tombolo.storage.stores.opening import open_store

LINEAR = {
    "schema": "tombolo.terms/1",
    "name": "linear",
    "parties": {"shop": {"role": "guest"}, "bank": {"role": "host"}, "notary": {"role": "arbiter"}},
    "task": {"protocol": "linear", "label": {"column": "label"}},
    "alignment": {"id": [{"column": "id"}]},
}
CODES = {"absent": "TMB-PLUGIN-001", "forbidden": "TMB-PLUGIN-002", "clashing": "TMB-PLUGIN-003", "failing": "TMB-PLUGIN-004"}
FAILING = """
from tombolo.agreements.protocol import Engine, Protocol, Role
from tombolo.agreements.parameters import Parameters

PROTOCOL = Protocol(
    name="unsound",
    title="",
    family="vertical",
    roles=tuple(map(Role, ("guest", "host", "validator"))),
    engines={None: Engine("x:y", Parameters, frozenset())},
    check=lambda terms: {}["a secret"],
)
"""


LEAKY = """
def open_it(parts, base):
    raise ValueError(parts.geturl())

class Source:
    def check(self, settings):
        pass

    def read(self, settings, asked):
        raise ValueError(settings.options["password"])

SOURCE = Source()
"""


def distribution(site: Path, name: str, offers: dict[str, str], module: str = "", group: str = "tombolo.protocols") -> None:
    """An installed distribution that offers something in a group."""
    own = name.replace("-", "_")
    site.mkdir(exist_ok=True)
    (site / f"{own}.py").write_text(module or "raise RuntimeError('a secret')\n")
    info = site / f"{own}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    points = "".join(f"{one} = {own}:{attribute}\n" for one, attribute in offers.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{points}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Distributions with one fault each."""
    folder = tmp_path_factory.mktemp("faults") / "site"
    distribution(folder, "broken-protocols", {"failing": "PROTOCOL", "clashing": "PROTOCOL"})
    distribution(folder, "other-protocols", {"clashing": "PROTOCOL"})
    distribution(folder, "foreign-protocols", {"forbidden": "PROTOCOL"})
    distribution(folder, "unsound-protocols", {"unsound": "PROTOCOL"}, FAILING)
    distribution(folder, "leaky-stores", {"leaky": "open_it"}, LEAKY, "tombolo.stores")
    distribution(folder, "leaky-tables", {"leaky": "SOURCE"}, LEAKY, "tombolo.tables")
    return folder


@pytest.fixture(scope="module")
def shop(installed: str, site: Path, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The shop's agreements: the package's, a linear one of Tombolo's own, and one for every fault."""
    root = tmp_path_factory.mktemp("shop")
    files = {}
    for party, table in tables().items():
        files[party] = root / f"{party}.parquet"
        pq.write_table(table, files[party])
    laid = lay_out(agreement(root / "terms"), files, None, root / "laid", [installed])
    (root / "terms" / "linear").mkdir()
    (root / "terms" / "linear" / "agreement.yaml").write_text(yaml.safe_dump(LINEAR, sort_keys=False))
    other = lay_out(root / "terms" / "linear", files, None, root / "other")
    shared = laid.root / "federations"
    (other.root / "federations" / "linear").rename(shared / "linear")
    for protocol in (*CODES, "unsound"):
        agreement(shared, protocol, protocol, parameters={})
    path = laid.settings["shop"]
    trusted = [DISTRIBUTION, "broken_protocols", "Other.Protocols", "unsound-protocols"]
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "plugins": trusted}))
    return laid


@pytest.fixture(scope="module")
def dags(shop: Layout, site: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the shop's Airflow sees."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", with_path(target, site)["PYTHONPATH"])
        return parse(shop, "shop", tmp_path_factory.mktemp("airflow"))


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_a_fault_has_a_code_where_people_look(dags: dict[str, Any], name: str, code: str) -> None:
    text = dags["dags"][f"{name}_unusable"]["doc"]
    assert text.startswith(f"```\n{code}: ") and name in text and "secret" not in text


def test_a_descriptor_that_raises_is_the_plug_ins_fault(dags: dict[str, Any]) -> None:
    text = dags["dags"]["unsound_unusable"]["doc"]
    assert "TMB-PLUGIN-004: " in text and "unsound of unsound-protocols: KeyError" in text


def test_other_agreements_keep_their_dags(dags: dict[str, Any]) -> None:
    unusable = {f"{name}_unusable" for name in (*CODES, "unsound")}
    whole = {"outside_train", "outside_predict", "outside_monitor", "linear_train", "linear_predict"}
    assert set(dags["dags"]) == unusable | whole


def test_the_packages_protocol_has_dags_and_a_form(dags: dict[str, Any]) -> None:
    training = dags["dags"]["outside_train"]
    assert [task for task in training["tasks"] if task.startswith("train.")] == ["train.rounds_001_001"]
    shrink = training["form"]["shrink"]
    assert (shrink["title"], shrink["type"], shrink["minimum"], shrink["maximum"]) == ("Shrinkage", "number", 0, 0.5)
    assert shrink["description"] == "Every difference comes this much closer to 0."
    assert "rounds" not in training["form"]
    assert dags["heavy"] == []


def test_where_it_is_not_installed_only_its_own_agreement_stops(shop: Layout, tmp_path: Path) -> None:
    """At the validator, whose Airflow lacks the package."""
    dags = parse(shop, "regulator", tmp_path)["dags"]
    assert "TMB-PLUGIN-001" in dags["outside_unusable"]["doc"]
    assert "TMB-PLUGIN-002" not in dags["outside_unusable"]["doc"]


def test_agreements_are_checked_with_the_plug_ins_that_are_named(shop: Layout, environment: dict[str, str]) -> None:
    folder = str(shop.root / "federations" / "outside")
    command = [sys.executable, "-m", "tombolo.cli", "agreement", "check", folder]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "TMB-PLUGIN-002" in done.stderr
    done = subprocess.run([*command, "--plugin", DISTRIBUTION], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.count("verified") == 2 * len(ROLES), done.stderr


def test_an_audit_names_the_fault_and_goes_on(shop: Layout, target: Path, site: Path) -> None:
    command = [sys.executable, "-m", "tombolo.cli", "audit", "verify", "--settings", str(shop.settings["shop"])]
    done = subprocess.run(command, env=with_path(target, site), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert all(done.stderr.count(code) == 1 for code in CODES.values() if code != "TMB-PLUGIN-004"), done.stderr
    assert "Agreement outside, party shop" in done.stdout and "Agreement linear, party shop" in done.stdout


@pytest.fixture
def here(site: Path) -> Iterator[None]:
    """The faulty distributions can be found in this process."""
    sys.path.insert(0, str(site))
    forget()
    yield
    sys.path.remove(str(site))
    forget()


@pytest.mark.usefixtures("here")
def test_what_a_store_or_a_source_raises_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(BrokenPlugin, match=r"leaky of leaky-stores: ValueError\.") as caught:
        open_store("leaky://host/folder?key=secret", tmp_path, ["leaky-stores"])
    assert "secret" not in str(caught.value) and caught.value.__suppress_context__
    settings = TableSettings(source="leaky", options={"password": "secret"})
    with pytest.raises(BrokenPlugin, match=r"leaky of leaky-tables: ValueError\.") as caught:
        read_table(settings, tmp_path, {}, [], ["leaky-tables"])
    assert "secret" not in str(caught.value) and caught.value.__suppress_context__


def test_a_source_that_there_is_not_stops_the_table_alone(shop: Layout) -> None:
    path = shop.settings["bank"]
    settings = yaml.safe_load(path.read_text())
    settings["agreements"]["other"] = {"table": {"source": "parqet", "path": "x"}}
    path.write_text(yaml.safe_dump(settings))
    table = PartySettings.load(path).for_agreement("other").table
    with pytest.raises(NoSuchPlugin, match=r"There is no parqet\. The names are: csv, parquet, sql"):
        read_table(table, path.parent, {}, [])


INVITE = """
import sys
from collections.abc import Iterator
from pathlib import Path
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.workflow.join import invite
invite(PartyContext.open("outside", Path(sys.argv[1])), "run-1")
"""


def test_parties_with_different_versions_stop(shop: Layout, target: Path, newer: Path) -> None:
    """The shop invites with 1.0.0; the bank has 1.1.0 and says so, and the shop hears of it."""
    settings = {party: str(path) for party, path in shop.settings.items()}
    old, new = with_path(target), with_path(newer)
    subprocess.run([sys.executable, "-c", INVITE, settings["shop"]], env=old, check=True, capture_output=True)
    party = [sys.executable, "-m", "tombolo.cli.simulation.party"]
    waiting = subprocess.Popen(
        [*party, settings["shop"], "outside", "run-1"], env=old, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        done = subprocess.run([*party, settings["bank"], "outside", "run-1"], env=new, capture_output=True, text=True, check=False)
        heard, _ = waiting.communicate(timeout=200)
    finally:
        waiting.kill()
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["code"] == "TMB-RUN-013"
    assert f"{DISTRIBUTION} 1.0.0, messages 1 there, {DISTRIBUTION} 1.1.0, messages 1 here" in told["text"]
    last = json.loads(heard.splitlines()[-1])
    assert last["code"] == "TMB-EXCH-004" and "TMB-RUN-013" in last["text"]
