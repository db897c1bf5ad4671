"""The wheel is whole: it works where there is no checkout, and claims one name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.outside.package import ROOT

FOLDERS = ("agreements", "cli", "fl_tasks", "operators", "plugins", "storage")
IMPORT = """
import importlib.metadata as metadata, sys
import tombolo.cli.app, tombolo.storage
site = sys.argv[1]
assert tombolo.cli.app.__file__.startswith(site), tombolo.cli.app.__file__
own = metadata.distribution("tombolo")
assert str(own.locate_file("")).startswith(site)
for group in ("tombolo.protocols", "tombolo.stores", "tombolo.tables", "airflow.plugins", "console_scripts"):
    print(group, *sorted(point.name for point in own.entry_points if point.group == group))
from tombolo.agreements.protocol import GROUP, protocol_named
from tombolo.storage.plugins import offered
for name in offered(GROUP):
    assert protocol_named(name).version == own.version
from tombolo.storage.stores.opening import open_store
open_store("file:./store")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left behind in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in (*FOLDERS, "src"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_it_claims_one_name_and_holds_every_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"tombolo"}
    files = {path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("[!.]*") if path.is_file()}
    wanted = {f"tombolo/{path}" for path in files if "__pycache__" not in path.parts} | {"tombolo/__init__.py"}
    assert wanted == {name for name in names if ".dist-info/" not in name}
    assert any(name.endswith(".html") for name in names) and any(name.endswith(".css") for name in names)


def test_it_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, str(site)], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    groups = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert groups["tombolo.stores"] == ["airflow", "file", "memory", "s3"]
    assert groups["tombolo.tables"] == ["csv", "parquet", "sql"]
    assert groups["airflow.plugins"] == groups["console_scripts"] == ["tombolo"]
    folders = [path.parent for path in (ROOT / "fl_tasks" / "protocols").glob("*/protocol.py")]
    assert len(groups["tombolo.protocols"]) == len(folders)
