"""`tombolo preflight`: checks that everything is ready for a run, and prints one line per check."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from tombolo.agreements.agreement import Agreement
    from tombolo.agreements.settings import PartySettings, TableSettings
    from tombolo.storage.stores.base import Store

T = TypeVar("T")
_CLOCK_SECONDS = 30.0


def preflight(
    settings: Annotated[Path | None, typer.Option(help="Party settings file; default: TOMBOLO_PARTY.")] = None,
    agreement: Annotated[
        str | None, typer.Option(help="Check only this agreement; default: all agreements in the settings.")
    ] = None,
) -> None:
    """Check settings, keys, stores, clock, versions, tables and suites. The exit status is 1 if a check fails."""
    from tombolo.agreements.settings import PartySettings

    report = _Report()
    party = report.ask("settings", lambda: PartySettings.load(settings), lambda own: f"party {own.party}")
    if party is None:
        raise typer.Exit(1)
    report.ask("versions", _versions, str)
    report.ask("keys", party.load_keys, lambda keys: f"the keys of {keys.party}")
    store = report.ask("own store", lambda: _own_store(party.open_store(party.store)), lambda opened: opened.url)
    if store is not None:
        report.ask("clock", lambda: _clock(store), lambda seconds: f"{seconds:+.1f} s difference to the store's clock")
    if party.executor is not None:
        report.ask("executor", lambda: _cluster(party.executor or ""), lambda workers: f"{workers} workers")
    for name in [agreement] if agreement else sorted(party.agreements):
        _agreement(report, party, name)
    if report.failures:
        raise typer.Exit(1)


class _Report:
    """Prints one line per check and counts the failures."""

    def __init__(self) -> None:
        self.failures = 0

    def ask(self, what: str, question: Callable[[], T], answer: Callable[[T], str]) -> T | None:
        from tombolo.storage.errors import CodedError

        try:
            result = question()
        except Exception as error:  # go on with the other checks; other errors' texts are not printed, as they may quote data
            self.failures += 1
            reason = " ".join(str(error).split()) if isinstance(error, CodedError) else type(error).__name__
            typer.echo(f"FAIL  {what}: {reason}")
            return None
        typer.echo(f"ok    {what}: {answer(result)}")
        return result


def _agreement(report: _Report, party: PartySettings, name: str) -> None:
    from tombolo.agreements.agreement import Agreement
    from tombolo.storage.roles import HOLDERS

    def load() -> Agreement:
        signed = Agreement.load(party.federations / name, plugins=party.plugins)
        signed.require_member(party.party, party.load_keys())
        return signed

    signed = report.ask(f"{name}: agreement", load, lambda loaded: f"digest {loaded.digest[:16]}, signed by all")
    if signed is None:
        return
    for peer, member in signed.members.items():
        if peer != party.party:
            address = party.peers.get(peer, member.store)
            report.ask(f"{name}: store of {peer}", lambda a=address: _peer_store(party.open_store(a), party.party), str)  # type: ignore[misc]
    if signed.members[party.party].role not in HOLDERS:
        return
    own = party.for_agreement(name)
    report.ask(f"{name}: table", lambda: _table(party, signed, own.table), str)
    if own.predict_table is not None:
        report.ask(f"{name}: predict_table", lambda: _table(party, signed, own.predict_table), str)
    suite = party.path(own.suite) if own.suite else signed.folder / "suites" / f"{party.party}.json"
    if own.suite or suite.exists():
        report.ask(f"{name}: suite", lambda: _suite(suite), str)


def _own_store(store: Store) -> Store:
    from tombolo.storage.stores.probe import check_create_only

    check_create_only(store)
    return store


def _peer_store(store: Store, me: str) -> str:
    """Check that this party can read its part of a peer's store, and cannot write there."""
    from tombolo.storage.stores.base import StoreRefused
    from tombolo.storage.stores.local import LocalStore

    count = len(store.list(f"to-{me}/preflight/"))
    if isinstance(store, LocalStore):
        return f"{store.url} is readable (the rights of a directory are not checked)"
    key = f"to-{me}/preflight/probe"
    try:
        store.put(key, b"")
    except StoreRefused:
        return f"{store.url} is readable and not writable ({count} probes)"
    store.delete(key)
    raise StoreRefused(f"This party can write to {store.url}; the store's owner must apply the peer policy.")


def _cluster(address: str) -> int:
    from tombolo.fl_tasks.crypto.cluster import open_cluster

    with open_cluster(address) as pool:
        return pool.workers


def _clock(store: Store) -> float:
    from tombolo.storage.stores.base import StoreUnreachable

    key = f"probe/clock-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    store.put(key, b"")
    try:
        seconds = (store.stat(key).modified - datetime.now(UTC)).total_seconds()
    finally:
        store.delete(key)
    if abs(seconds) > _CLOCK_SECONDS:
        raise StoreUnreachable(f"This machine's clock and the store's clock differ by {seconds:+.0f} s; set this clock by NTP.")
    return seconds


def _versions() -> str:
    from importlib.metadata import PackageNotFoundError, version

    from tombolo.storage.envelope import PROTOCOL_VERSION

    def of(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "none"

    packages = ", ".join(f"{name} {of(name)}" for name in ("apache-airflow", "pyarrow", "cryptography", "phe"))
    return f"protocol {PROTOCOL_VERSION}, Python {platform.python_version()}, {packages}"


def _table(party: PartySettings, agreement: Agreement, source: TableSettings | None) -> str:
    from tombolo.fl_tasks.tables.ids import NoIdColumn
    from tombolo.fl_tasks.tables.source import read_table

    settings = party.for_agreement(agreement.name)
    columns = [settings.rename.get(part.column, part.column) for part in agreement.terms.alignment.id]
    table = read_table(source, party.folder, {"as_of": datetime.now(UTC).isoformat()}, columns, party.plugins)
    lacking = sorted(set(columns) - set(table.column_names))
    if lacking:
        raise NoIdColumn(f"Columns {', '.join(lacking)}.", party=party.party)
    return f"{table.num_rows} rows, {table.num_columns} columns"


def _suite(path: Path) -> str:
    """Check that a suite can be read. The validate stage checks it fully."""
    from tombolo.fl_tasks.workflow.validate import BadSuite

    try:
        types = [expectation["type"] for expectation in json.loads(path.read_text(encoding="utf-8"))["expectations"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise BadSuite(f"{path}.") from None
    return f"{len(types)} expectations"
