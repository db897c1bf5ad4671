"""Lays out a demo: for each organisation a folder with keys, store, tables, settings and a signed copy of the agreement."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tombolo.agreements.agreement import Agreement
from tombolo.cli.demo.demos import WDBC, Demo
from tombolo.storage.identity import PartyKeys
from tombolo.storage.roles import INITIATORS

_INLINE_SECONDS = 90


@dataclass(frozen=True)
class Federation:
    """The folders of a demo. ``settings`` has the settings file of each party, in the agreement's order."""

    agreement: str
    root: Path
    settings: Mapping[str, Path]
    roles: Mapping[str, str]

    @property
    def initiator(self) -> str:
        """The party that starts runs: the guest or the aggregator."""
        return next(party for party, role in self.roles.items() if role in INITIATORS)

    def home(self, party: str) -> Path:
        """A party's folder."""
        return self.root / party


def lay_out(
    root: Path, terms: Mapping[str, Any] | None = None, inline_seconds: float = _INLINE_SECONDS, demo: Demo = WDBC
) -> Federation:
    """Make all files in the new folder ``root``, which must not exist. ``terms`` replaces top-level terms of the agreement."""
    document = {**yaml.safe_load((demo.terms / "agreement.yaml").read_text(encoding="utf-8")), **(terms or {})}
    root.mkdir(parents=True, mode=0o700)
    draft = root / "signing" / demo.agreement
    shutil.copytree(demo.terms, draft)
    (draft / "agreement.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    keys = {party: PartyKeys.new(party) for party in document["parties"]}
    Agreement.pin_all(draft, {party: (own, f"file://{root / party / 'store'}") for party, own in keys.items()})
    tables = demo.write_tables(root)
    settings = {}
    for party, own in keys.items():
        home = root / party
        home.mkdir(exist_ok=True, mode=0o700)
        own.save(home / "keys.json")
        shutil.copytree(root / "signing", home / "federations")
        settings[party] = home / "party.yaml"
        written = {
            "party": party,
            "keys": "file:./keys.json",
            "store": f"file://{home / 'store'}",
            "federations": "./federations",
            "workers": 1,
            "inline_seconds": inline_seconds,
            "agreements": {demo.agreement: tables[party].settings() if party in tables else {}},
        }
        settings[party].write_text(yaml.safe_dump(written, sort_keys=False), encoding="utf-8")
    shutil.rmtree(root / "signing")
    return Federation(demo.agreement, root, settings, {party: member["role"] for party, member in document["parties"].items()})
