"""The harness: what it gathers has the documented form, nothing expected goes missing, turns alternate, the chart is a picture."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import __main__ as harness
from benchmarks import paillier, secagg
from benchmarks._charts import growth_chart, ratio_chart
from benchmarks._turns import Peer, compare

KERNELS = Path(".venv-bench/bin/python")


def test_every_expected_ratio_is_found_or_skipped_with_a_reason():
    parts = [
        harness.Part("one", targets={"a": 2, "b": 0}),
        harness.Part("two", peer="fate", targets={"c": 3}),
        harness.Part("three", targets={"d": 4}),
        harness.Part("four"),
    ]
    found = {"one": {"ratios": {"a": 5.0}, "skipped": {"b": "no"}}, "two": {"seconds": 1}, "three": "failed", "four": "failed"}
    document = harness.gather(parts, found)
    assert document["ratios"] == {"a": 5.0}
    assert document["skipped"] == {
        "b": "no",
        "c": "not measured in this run: there was no peer, or the size was another one",
        "d": "failed",
        "four": "failed",
    }
    assert document["targets"] == {"a": 2, "c": 3, "d": 4}
    assert set(document["benchmarks"]) == {"one", "two"}


def test_a_benchmark_that_is_not_there_is_skipped(tmp_path):
    reason = harness.run(harness.Part("none"), True, {}, None, tmp_path / "none.json")
    assert reason == "there is no benchmarks/none.py"


def test_the_document_is_written_with_the_machine_and_a_chart(tmp_path, monkeypatch):
    script = "import json, sys; open(sys.argv[-1], 'w').write(json.dumps({'ratios': {'x_vs_y': 12.5}}))"
    real = harness.subprocess.run

    def instead(words, **named):
        return real([sys.executable, "-c", script, words[-1]] if words[1] == "-m" else words, **named)

    monkeypatch.setattr(harness.subprocess, "run", instead)
    monkeypatch.setattr(harness, "PARTS", (harness.Part("ledger", quick=True, targets={"x_vs_y": 10}), harness.Part("memory")))
    monkeypatch.chdir(tmp_path)
    assert harness.main(["--quick", "--results", str(tmp_path)]) == 0
    document = json.loads((tmp_path / "quick.json").read_text())
    assert set(document) == {"at", "quick", "machine", "ratios", "targets", "skipped", "benchmarks"}
    assert document["ratios"] == {"x_vs_y": 12.5}
    assert set(document["machine"]) == {"processor", "processors", "memory_gib", "load", "system", "python", "libraries"}
    assert ElementTree.fromstring((tmp_path / "quick.svg").read_text()).tag.endswith("svg")


def test_some_benchmarks_run_again_leave_the_others_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "PARTS", (harness.Part("ledger", targets={"a": 1}), harness.Part("memory", targets={"b": 1})))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(harness, "run", lambda part, *_: {"ratios": {"a" if part.module == "ledger" else "b": 2.0}})
    assert harness.main(["--results", str(tmp_path)]) == 0
    monkeypatch.setattr(harness, "run", lambda part, *_: {"ratios": {"b": 3.0}})
    assert harness.main(["--only", "memory", "--results", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "full.json").read_text())["ratios"] == {"a": 2.0, "b": 3.0}


def test_sides_alternate_and_ratios_are_of_turns():
    order = []

    def side(name, values):
        def once():
            order.append(name)
            return values.pop(0)

        return once

    found = compare(side("ours", [1.0, 2.0, 4.0]), side("peer", [10.0, 40.0, 40.0]), 3)
    assert order == ["ours", "peer"] * 3
    assert found["ratio"] == {"median": 10.0, "lowest": 10.0, "highest": 20.0}
    assert found["ours"]["median"] == 2.0


def test_the_chart_shows_every_ratio_and_its_target():
    root = ElementTree.fromstring(ratio_chart({"a_vs_b": 120.0, "slow_vs_fast": 0.5}, {"a_vs_b": 100}))
    texts = [one.text for one in root.iter() if one.tag.endswith("text")]
    assert {"a vs b", "120.0", "slow vs fast", "0.5"} <= set(texts)
    widths = [float(one.get("width")) for one in root.iter() if one.tag.endswith("rect")][1:]
    assert widths[0] > widths[1] == 0
    assert sum(one.get("class") == "mark" for one in root.iter()) == 1
    assert root.get("aria-label") == "Times as fast as the other software: a vs b 120.0; slow vs fast 0.5"
    assert len(ElementTree.fromstring(ratio_chart({}, {"a_vs_b": 100}))) > 3, "there may be nothing to show"


def test_the_chart_of_growth_tells_what_was_scaled():
    cells = [{"rows": rows, "features": 10, "seconds": rows / 100, "measured": rows < 1000} for rows in (100, 1000)]
    cells += [{**cell, "features": features, "measured": 1} for cell in cells for features in (50, 100)]
    root = ElementTree.fromstring(growth_chart(cells, {10: 1.0, 50: 1.0, 100: 1.0}, "Growth"))
    texts = [one.text for one in root.iter() if one.tag.endswith("text")]
    assert {
        "Growth",
        "10 features, slope 1.00",
        "100",
        "1,000",
        "rows; hollow points are scaled from a part of the columns",
    } <= set(texts)
    assert [one.get("fill") == "#fff" for one in root.iter() if one.tag.endswith("circle")].count(True) == 1


def test_paillier_measures_against_phe_and_says_what_it_skipped():
    found = paillier.measure(rows=120, columns=2, sample=2, turns=1, kernels=None)
    assert set(found["ratios"]) | set(found["skipped"]) == set(paillier.TARGETS)
    assert set(found["skipped"]) == {"paillier_encrypt_vs_fate_kernels", "xtd_vs_fate_kernels"}
    assert all(ratio > 0 for ratio in found["ratios"].values())
    assert "python_us" in found["limit"]


def test_secure_sums_are_compared_with_flower_where_it_is():
    one = {"client": {"no drop": {"cpu": 2.0}}}
    assert set(secagg.against_flower(one)["skipped"]) == {"secagg_client_vs_flower"}
    assert secagg.against_flower(one | {"flower": {"cpu": 3.0}})["ratios"] == {"secagg_client_vs_flower": 1.5}


@pytest.mark.skipif(not KERNELS.is_file(), reason="the peers' environment is made by make bench-quick")
def test_fate_kernels_answer():
    with Peer(KERNELS, "_fate_kernels.py") as peer:
        assert peer.ask({"encrypt": 2})["seconds"] > 0
        assert peer.side({"product": [3, 2], "bits": 8}, 6)() > 0


def test_a_peer_that_ends_is_noticed(tmp_path):
    driver = tmp_path / "driver.py"
    driver.write_text("raise SystemExit(3)")
    with Peer(Path(sys.executable), str(driver)) as peer, pytest.raises(SystemExit, match="status 3"):
        peer.ask({"encrypt": 1})
