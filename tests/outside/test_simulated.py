"""`tombolo simulate` with a protocol of the package: a process per party."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.outside.package import DISTRIBUTION, EXAMPLE, ROOT, agreement, tables


def test_an_agreement_with_a_foreign_protocol_is_simulated(environment: dict[str, str], tmp_path: Path) -> None:
    for party, table in tables().items():
        pq.write_table(table, tmp_path / f"{party}.parquet")
    data = [f"--data={party}={tmp_path / party}.parquet" for party in ("shop", "bank")]
    command = [sys.executable, "-m", "tombolo.cli", "simulate", str(agreement(tmp_path / "terms")), *data]
    out, options = tmp_path / "out", ["--set", "shrink=0.2", "--plugin", DISTRIBUTION]
    done = subprocess.run([*command, "--out", str(out), *options], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["protocol"] == "mean-difference"
    assert report["metrics"]["federated"] == pytest.approx(report["metrics"]["pooled"], abs=1e-6)
    assert report["settlement"]["signers"] == ["bank", "regulator", "shop"]


def test_the_page_is_run_as_it_stands(environment: dict[str, str], tmp_path: Path) -> None:
    page, declared = (ROOT / "docs" / "write-a-protocol.md").read_text(), (EXAMPLE / "pyproject.toml").read_text()
    assert (EXAMPLE / "contrast" / "agreement.yaml").read_text() in page
    points = re.findall(r"\[project\.entry-points\..*?\]\n.*\n", declared)
    assert len(points) == 3 and all(point in page for point in points)
    (lines,) = re.findall(r"```\n(cd .*?contrast\n.*?)```", page, re.DOTALL)
    lines = lines.replace("/tmp/", f"{tmp_path}/").replace("tombolo simulate", "python -m tombolo.cli simulate")
    words = ["bash", "-ec", lines.replace("python ", f"{sys.executable} ")]
    done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "contrast" / "report.json").read_text())["metrics"]
    assert metrics["federated"] == pytest.approx(metrics["pooled"], abs=1e-6)


def test_without_its_name_it_is_not_used(environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tombolo.cli", "simulate", str(agreement(tmp_path)), "--out", str(tmp_path / "out")]
    done = subprocess.run([*command, "--data=shop=x"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "TMB-PLUGIN-002" in done.stderr and f"mean-difference comes from {DISTRIBUTION}" in done.stderr
