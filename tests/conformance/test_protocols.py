"""Every protocol on every engine keeps to what the suite asks of it; listed is tested (see the package's docstring)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.cases import case_of
from tests.conformance.checks import CHECKS, Played, play
from tests.conformance.test_declared import PROTOCOLS

CASES = [pytest.param((one, engine), id=f"{name}-{engine}") for name, one in PROTOCOLS.items() for engine in one.engines]
_PLAYED: dict[tuple[str, str | None], Played] = {}


@pytest.fixture(scope="session")
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The undisturbed run of a case, once per process."""
    protocol, engine = request.param
    key = (protocol.name, engine)
    if key not in _PLAYED:
        _PLAYED[key] = play(case_of(protocol, engine), tmp_path_factory.mktemp(protocol.name))
    return _PLAYED[key]


@pytest.mark.parametrize("played", CASES, indirect=True)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_conforms(played: Played, check: Callable[[Played], None]) -> None:
    check(played)
