"""Lays out a simulation in one folder: new keys, directory stores, party settings and a signed copy of the agreement."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tombolo.agreements.agreement import Agreement
from tombolo.agreements.reading import read_model
from tombolo.agreements.terms import Terms
from tombolo.storage.identity import PartyKeys
from tombolo.storage.roles import HOLDERS, LABELLED

_MARK = ".tombolo-simulation"
_SOURCES = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv"}


class Misuse(Exception):
    """The command line does not fit the agreement. The text says what is wrong and what is possible."""


@dataclass(frozen=True)
class Layout:
    """The laid-out federation: the agreement's name and terms, and each party's settings file."""

    root: Path
    agreement: str
    terms: Terms
    settings: Mapping[str, Path]

    @property
    def roles(self) -> dict[str, str]:
        """Each party's role."""
        return self.terms.roles()


def lay_out(agreement: Path, data: Mapping[str, Path], split: Path | None, out: Path, plugins: Collection[str] = ()) -> Layout:
    """Make everything that a simulated run needs. ``data`` maps party or role names to tables; ``plugins`` are distributions that
    all parties trust. Raises :class:`Misuse`."""
    source = agreement / "agreement.yaml" if agreement.is_dir() else agreement
    if not source.is_file():
        raise Misuse(f"{source} does not exist; name the folder of an agreement or its agreement.yaml")
    terms = read_model(source, Terms, {"plugins": plugins})
    roles = terms.roles()
    tables = assign(roles, data)
    for file in [*tables.values(), *([split] if split else [])]:
        if not file.is_file():
            raise Misuse(f"the table {file} does not exist")
    _clear(out)
    folder = out / "federations" / terms.name
    folder.mkdir(parents=True)
    shutil.copyfile(source, folder / "agreement.yaml")
    if (source.parent / "suites").is_dir():
        shutil.copytree(source.parent / "suites", folder / "suites")
    settings, pins = {}, {}
    trusted = {"plugins": list(plugins)} if plugins else {}
    for party, role in roles.items():
        home = out / "parties" / party
        home.mkdir(parents=True, mode=0o700)
        keys = PartyKeys.new(party)
        keys.save(home / "keys.json")
        store = f"file://{(home / 'store').resolve()}"
        own: dict[str, Any] = {"table": _source(tables[party])} if party in tables else {}
        if split is not None and role in LABELLED:
            own["split"] = str(split.resolve())
        settings[party] = home / "party.yaml"
        settings[party].write_text(
            yaml.safe_dump({**_settings(party, store, terms.name, own), **trusted}, sort_keys=False), encoding="utf-8"
        )
        pins[party] = (keys, store)
    Agreement.pin_all(folder, pins, plugins)
    return Layout(out, terms.name, terms, settings)


def assign(roles: Mapping[str, str], data: Mapping[str, Path]) -> dict[str, Path]:
    """Each data party's table. ``data`` has party names, or roles that only one party has.

    Raises :class:`Misuse` if a table is missing or does not belong to a data party.
    """
    holders = [party for party, role in roles.items() if role in HOLDERS]
    tables: dict[str, Path] = {}
    for name, file in data.items():
        named = [name] if name in holders else [party for party in holders if roles[party] == name]
        if len(named) != 1:
            raise Misuse(f"--data {name}=...: {name} does not stand for one data party; they are {', '.join(holders)}")
        if named[0] in tables:
            raise Misuse(f"--data names {named[0]} twice")
        tables[named[0]] = file
    lacking = [party for party in holders if party not in tables]
    if lacking:
        raise Misuse(f"no table for {', '.join(lacking)}: add " + " ".join(f"--data {party}=FILE" for party in lacking))
    return tables


def _source(file: Path) -> dict[str, Any]:
    """The table settings for a file, by its ending. A trailing .gz is ignored."""
    suffixes = [suffix for suffix in file.suffixes if suffix != ".gz"]
    kind = _SOURCES.get(suffixes[-1].lower() if suffixes else "")
    if kind is None:
        raise Misuse(f"{file} is not a .parquet or .csv file")
    return {"source": kind, "path": str(file.resolve())}


def _settings(party: str, store: str, agreement: str, own: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "party": party,
        "keys": "file:./keys.json",
        "store": store,
        "federations": "../../federations",
        "agreements": {agreement: dict(own)},
    }


def _clear(out: Path) -> None:
    """Make an empty folder at ``out``. Deletes an earlier simulation there. Raises :class:`Misuse` if other files are there."""
    if out.exists() and not out.is_dir():
        raise Misuse(f"--out {out} is not a folder")
    if out.is_dir() and any(out.iterdir()):
        if not (out / _MARK).is_file():
            raise Misuse(f"--out {out} has other files in it; name an empty or a new folder")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARK).write_text(
        "`tombolo simulate` made this folder. The next simulation with this --out replaces it.\n", encoding="utf-8"
    )
