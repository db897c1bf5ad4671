"""Lays out the demo's three organisations: a folder each with keys, store, tables, settings and a signed copy of the agreement."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cli.demo.data import write_tables
from cli.demo.instance import REPOSITORY
from contracts.agreement import Agreement
from storage.identity import PartyKeys

AGREEMENT = "wdbc"
_INLINE_SECONDS = 90


@dataclass(frozen=True)
class Federation:
    """The demo's folders; ``settings`` by party, in the agreement's order."""

    root: Path
    settings: Mapping[str, Path]
    roles: Mapping[str, str]

    @property
    def guest(self) -> str:
        return next(party for party, role in self.roles.items() if role == "guest")

    def home(self, party: str) -> Path:
        return self.root / party


def lay_out(root: Path, terms: Mapping[str, Any] | None = None, inline_seconds: float = _INLINE_SECONDS) -> Federation:
    """Make everything under ``root``, which must not exist. ``terms`` overrides top-level terms of the example agreement."""
    source = REPOSITORY / "federations" / AGREEMENT
    document = {**yaml.safe_load((source / "agreement.yaml").read_text(encoding="utf-8")), **(terms or {})}
    root.mkdir(parents=True, mode=0o700)
    draft = root / "signing" / AGREEMENT
    shutil.copytree(source, draft)
    (draft / "agreement.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    keys = {party: PartyKeys.new(party) for party in document["parties"]}
    Agreement.pin_all(draft, {party: (own, f"file://{root / party / 'store'}") for party, own in keys.items()})
    tables = write_tables(root)
    sources = {
        "clinic": {
            "table": _file(tables.clinic),
            "predict_table": _file(tables.clinic_new),
            "labels_table": _file(tables.outcomes),
        },
        "laboratory": {"table": _file(tables.laboratory), "predict_table": _file(tables.laboratory_new)},
    }
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
            "agreements": {AGREEMENT: sources.get(party, {})},
        }
        settings[party].write_text(yaml.safe_dump(written, sort_keys=False), encoding="utf-8")
    shutil.rmtree(root / "signing")
    return Federation(root, settings, {party: one["role"] for party, one in document["parties"].items()})


def _file(path: Path) -> dict[str, str]:
    """Table settings relative to the party's folder."""
    return {"source": path.suffix.removeprefix("."), "path": path.name}
