"""The example package of docs/write-a-protocol.md, built and installed beside the environment, in two versions."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.outside.package import DISTRIBUTION, EXAMPLE, MODULE
from tombolo.storage import plugins
from tombolo.storage.errors import REGISTRY


def install(folder: Path, version: str = "1.0.0") -> Path:
    """Build the package in a copy of its folder, and install it into a folder of its own."""
    source = folder / "source"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    project = source / "pyproject.toml"
    project.write_text(project.read_text().replace('version = "1.0.0"', f'version = "{version}"'))
    offline = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index"]
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", str(folder / "target"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "target"


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package is installed."""
    return install(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="session")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where its next version is installed."""
    return install(tmp_path_factory.mktemp("newer"), "1.1.0")


@pytest.fixture(scope="module")
def installed(target: Path) -> Iterator[str]:
    """The package can be found in this process; yields its distribution's name."""
    sys.path.insert(0, str(target))
    forget()
    yield DISTRIBUTION
    sys.path.remove(str(target))
    forget()


@pytest.fixture
def gone(installed: str, target: Path) -> Iterator[None]:
    """The package is uninstalled, and installed again afterwards."""
    sys.path.remove(str(target))
    forget()
    yield
    sys.path.insert(0, str(target))
    forget()


def forget() -> None:
    """What this process knows of installed distributions, and of this one's modules."""
    plugins._points.cache_clear()
    importlib.invalidate_caches()
    for name in [name for name in sys.modules if name.split(".")[0] == MODULE]:
        del sys.modules[name]
    for code in [code for code in REGISTRY if not code.startswith("TMB-")]:
        del REGISTRY[code]


@pytest.fixture
def environment(target: Path) -> dict[str, str]:
    """The environment of a process that has the package."""
    return with_path(target)


def with_path(*folders: Path) -> dict[str, str]:
    """This process's environment, with folders in front of its path."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])}
