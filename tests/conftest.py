"""Switches of the test run: short keys are allowed here and nowhere else; in CI nothing may be skipped for want of a package."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.rgw import gateway  # noqa: F401 - a fixture for all tests

os.environ["TOMBOLO_TEST_KEYS"] = "1"
settings.register_profile("tombolo", deadline=None)  # times are measured in benchmarks/
settings.load_profile("tombolo")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """With TOMBOLO_CI=1, which says that all packages were installed, a skipped test is a failed one."""
    report = yield
    if report.skipped and os.environ.get("TOMBOLO_CI") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped where nothing may be: {report.longrepr}"
    return report
