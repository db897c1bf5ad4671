"""A real federation for tests: parties with keys, a signed agreement, directory stores and tables; stages run in threads."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tombolo.agreements.agreement import Agreement
from tombolo.agreements.task import EXPOSURE_WAIVER
from tombolo.fl_tasks.learning.vertical.roles import DEALER_WAIVER
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.runtime.waiting import PeerAborted, Wait
from tombolo.fl_tasks.workflow.abort import abort
from tombolo.fl_tasks.workflow.join import invite, join
from tombolo.storage.identity import PartyKeys
from tombolo.storage.roles import HOLDERS, INITIATORS
from tombolo.storage.schema import MessageSet

FOREVER = Wait(math.inf)
TEST_BITS = 1024
"""Bits of the Paillier keys of parties in this process: fast, and long enough for everything that the protocols pack into one."""
SMALL_TABLES = 10_000.0
"""The ``exposure`` of agreements in tests, whose tables are small; tests of what adds up name the limits themselves."""
ROUNDS = {"default": 40, "min": 1, "max": 200}


def quiet(_: Mapping[str, Any]) -> None:
    """Progress for tests: none."""


@dataclass
class Federation:
    """Parties of one agreement on this machine; ``root`` holds a folder per party and the signed agreement."""

    root: Path
    name: str
    parties: dict[str, str]
    results: dict[str, Any] = field(default_factory=dict)

    def settings(self, party: str) -> Path:
        return self.root / party / "party.yaml"

    def context(self, party: str) -> PartyContext:
        """A fresh workplace, as a new task process would open it."""
        return PartyContext.open(self.name, self.settings(party), TEST_BITS)

    @property
    def guest(self) -> str:
        """Who starts runs."""
        return next(party for party, role in self.parties.items() if role in INITIATORS)

    @property
    def data_parties(self) -> list[str]:
        return [party for party, role in self.parties.items() if role in HOLDERS]

    def run_all(self, work: Callable[[str], Any], parties: list[str] | None = None) -> dict[str, Any]:
        """Call ``work(party)`` for all parties at once, in threads; the error that began it is raised after all have ended."""
        names = parties or list(self.parties)
        with ThreadPoolExecutor(len(names)) as pool:
            futures = {name: pool.submit(work, name) for name in names}
        errors = [error for error in (future.exception() for future in futures.values()) if error is not None]
        for error in sorted(errors, key=lambda error: isinstance(error, PeerAborted)):
            raise error
        return {name: future.result() for name, future in futures.items()}

    def start(self, run: str = "run-1", kind: str = "train", model: str | None = None, **choices: Any) -> str:
        """Invite and join at every party."""
        invite(self.context(self.guest), run, kind, {**choices}, model=model)
        self.run_all(lambda party: join(self.context(party), run, FOREVER, progress=quiet))
        return run

    def stage(self, stage: Callable[..., Any], run: str, parties: list[str] | None = None, **options: Any) -> dict[str, Any]:
        """Run one stage function at every party at once."""
        return self.run_all(
            self._aborting(run, lambda party: stage(self.context(party), run, FOREVER, progress=quiet, **options)), parties
        )

    def _aborting(self, run: str, work: Callable[[str], Any]) -> Callable[[str], Any]:
        """As a finally failed task does: tell the peers."""

        def guarded(party: str) -> Any:
            try:
                return work(party)
            except Exception as error:
                abort(self.context(party), run, error)
                raise

        return guarded

    def roles(
        self, run: str, contract: MessageSet, stage: str, programs: Mapping[str, Callable[[Session], Any]], **options: Any
    ) -> dict[str, Any]:
        """Run role programs (by role) over sessions of one stage."""

        def work(party: str) -> Any:
            with self.context(party).session(run, contract, stage, FOREVER, quiet, **options) as session:
                return programs[session.role](session)

        return self.run_all(self._aborting(run, work))


_KEYS: dict[str, PartyKeys] = {}
_KEYS_LOCK = threading.Lock()


def party_keys(party: str) -> PartyKeys:
    """Keys are the same for one name throughout a test process."""
    with _KEYS_LOCK:
        return _KEYS.setdefault(party, PartyKeys.new(party))


def federation(
    root: Path,
    tables: Mapping[str, pa.Table],
    /,
    roles: Mapping[str, str] | None = None,
    protocol: str = "logistic-arbiter",
    label: str | None = "label",
    parameters: Mapping[str, Any] | None = None,
    waivers: Sequence[str] = (),
    engine: str | None = None,
    query: Mapping[str, Any] | None = None,
    task_terms: Mapping[str, Any] | None = None,
    key_bits: int = TEST_BITS,
    plugins: Sequence[str] = (),
    **terms: Any,
) -> Federation:
    """Lay out a federation under ``root``: ``tables`` by party (id column ``id``); ``roles`` defaults to guest, hosts in the order
    of the tables, and an arbiter called notary. ``task_terms`` adds to those of the task, ``terms`` overrides top-level terms.
    What opens a party's settings by itself, a process or a command, needs ``key_bits`` of production's length."""
    if roles is None:
        roles = {party: ("guest" if index == 0 else "host") for index, party in enumerate(tables)} | {"notary": "arbiter"}
    given = {} if engine == "dealer" else {"key_bits": key_bits}
    given |= {"rounds": ROUNDS, **(parameters or {})} if query is None else {}
    document: dict[str, Any] = {
        "schema": "tombolo.terms/2",
        "name": "trial",
        "parties": {party: {"role": role} for party, role in roles.items()},
        "task": {
            "protocol": protocol,
            **({"label": {"column": label}} if query is None else {"query": dict(query)}),
            "parameters": given,
            "waivers": [*waivers, *([DEALER_WAIVER] if engine == "dealer" else [])],
            **({} if engine is None else {"engine": engine}),
            **(task_terms or {}),
        },
        "alignment": {"id": [{"column": "id", "canonical": "text"}], "minimum_intersection": 20},
        "scores": [party for party, role in roles.items() if role == "guest" and query is None],
        **terms,
    }
    if document["schema"] == "tombolo.terms/2":
        document["limits"] = {"exposure": SMALL_TABLES, "row_bits": 10**7, **document.get("limits", {})}
        if document["limits"]["exposure"] > 1:
            document["task"] = {**document["task"], "waivers": [*document["task"].get("waivers", []), EXPOSURE_WAIVER]}
    shared = root / "federations" / "trial"
    shared.mkdir(parents=True)
    (shared / "agreement.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    for party in roles:
        folder = root / party
        folder.mkdir()
        party_keys(party).save(folder / "keys.json")
        agreement: dict[str, Any] = {}
        if party in tables:
            pq.write_table(tables[party], folder / "table.parquet")
            agreement["table"] = {"source": "parquet", "path": "table.parquet"}
        settings = {
            "party": party,
            "keys": "file:./keys.json",
            "store": f"file://{folder / 'store'}",
            "federations": "../federations",
            "inline_seconds": 10,
            "workers": 1,
            "plugins": list(plugins),
            "agreements": {"trial": agreement},
        }
        (folder / "party.yaml").write_text(yaml.safe_dump(settings))
    _pin_and_sign(root, shared, roles, plugins)
    return Federation(root, "trial", dict(roles))


def _pin_and_sign(root: Path, shared: Path, roles: Mapping[str, str], plugins: Sequence[str]) -> None:
    """First amendment pins every party's keys and store; everybody signs."""
    pinned = {party: (party_keys(party), f"file://{root / party / 'store'}") for party in roles}
    Agreement.pin_all(shared, pinned, plugins, TEST_BITS)
