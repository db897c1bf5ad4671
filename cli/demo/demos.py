"""The demos, each described by the values in which it differs from the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tombolo.cli.demo import diagnosis, hospitals, lenders, marketing, wdbc
from tombolo.cli.demo.instance import REPOSITORY
from tombolo.cli.demo.tables import Tables


@dataclass(frozen=True)
class Demo:
    """One demo: its agreement (a folder in federations/), the function that writes its tables, its folder and its first port.

    ``up`` is the command that keeps the demo running. The steps of each demo are in :mod:`tombolo.cli.demo.stories`.
    """

    agreement: str
    write_tables: Callable[[Path], Mapping[str, Tables]]
    root: Path
    first_port: int
    up: str

    @property
    def terms(self) -> Path:
        """The folder of the agreement's terms and suites."""
        return REPOSITORY / "federations" / self.agreement

    @property
    def register(self) -> Path:
        """The file that lists the demo's processes. It is outside the folder that a new demo deletes."""
        return self.root.with_name(f"{self.root.name}.processes.json")


_STATE = REPOSITORY / ".tombolo"
WDBC = Demo("wdbc", wdbc.write_tables, _STATE / "demo", 8080, "make up")
MARKETING = Demo("marketing", marketing.write_tables, _STATE / "demo-marketing", 8090, "make up-marketing")
HOSPITALS = Demo("hospitals", hospitals.write_tables, _STATE / "demo-horizontal", 8100, "make up-horizontal")
LENDING = Demo("lending", lenders.write_tables, _STATE / "demo-lending", 8110, "make up-lending")
DIAGNOSIS = Demo("diagnosis", diagnosis.write_tables, _STATE / "demo-transfer", 8120, "make up-transfer")
DEMOS = {demo.agreement: demo for demo in (WDBC, MARKETING, HOSPITALS, LENDING, DIAGNOSIS)}
