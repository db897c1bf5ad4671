"""Switches of the test run: in CI nothing may be skipped for want of a package."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests.rgw import gateway  # noqa: F401 - a fixture for all tests

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

SERVERS = {"airflow": ("tests/operators/",), "rgw": ("tests/storage/stores/", "tests/docker/")}
"""Folders whose tests share a heavy server: with several workers, one of them takes all of these."""

CONFORMANCE = "tests/conformance/test_protocols.py"
"""All checks of one protocol and engine share a run, so that one worker takes them: their ids end with the same words."""

settings.register_profile("tombolo", deadline=None)  # times are measured in benchmarks/
settings.load_profile("tombolo")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """With TOMBOLO_CI=1 all packages are installed: a skipped test is a failed one, unless it is marked ``unpackaged``."""
    report = yield
    excused = hasattr(report, "wasxfail") or item.get_closest_marker("unpackaged")
    if report.skipped and os.environ.get("TOMBOLO_CI") == "1" and not excused:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped where nothing may be: {report.longrepr}"
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that no worker is left alone with them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("airflow") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Spread single tests, but keep those of one server, or of one protocol's run, together."""
    from xdist.scheduler import LoadScopeScheduling

    class ByServer(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            servers = (name for name, folders in SERVERS.items() if nodeid.startswith(folders))
            return next(servers, nodeid.partition("-")[2] if nodeid.startswith(CONFORMANCE) else nodeid)

    return ByServer(config, log)
