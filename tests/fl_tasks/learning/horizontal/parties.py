"""Clients and an aggregator over directory stores, taking turns in one thread: each works until a message is missing, forgets
everything, and begins anew at its next turn. Time passes only when nobody gets any further."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.federation import party_keys, quiet
from tombolo.agreements.parameters import Parameters
from tombolo.fl_tasks.privacy.odometer import Odometer
from tombolo.fl_tasks.runtime import waiting
from tombolo.fl_tasks.runtime.payments import Payments
from tombolo.fl_tasks.runtime.session import Secrets, Session
from tombolo.fl_tasks.runtime.state import RunState
from tombolo.fl_tasks.runtime.waiting import Wait, Waiting, Watch
from tombolo.storage.books import Books
from tombolo.storage.exchange import Exchange, Peer, Self
from tombolo.storage.identity import SealKey, VerifyKey
from tombolo.storage.private import PrivateArea
from tombolo.storage.roles import AGGREGATOR, CLIENT
from tombolo.storage.schema import MessageSet
from tombolo.storage.stores.local import LocalStore

AGGREGATORS_NAME = "centre"


class Clock:
    """Stands where :mod:`tombolo.fl_tasks.runtime.waiting` has ``time``: it goes on only when told to."""

    now = 1_800_000_000.0

    def time(self) -> float:
        return self.now

    monotonic = time

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps in a test by turns")


@cache
def public_keys(name: str) -> tuple[VerifyKey, SealKey]:
    """What others know of a party; making it from the private keys takes longer than anything else here."""
    keys = party_keys(name)
    return keys.signing.public(), keys.sealing.public()


class Vanished(Exception):
    """A client is gone for good."""


@dataclass
class Turns:
    """Parties of one sum; ``lost`` says after which of its own sendings a client vanishes (0: it never comes)."""

    root: Path
    clients: Sequence[str]
    contract: MessageSet
    clock: Clock = field(default_factory=Clock)
    lost: Mapping[str, int] = field(default_factory=dict)
    sent: dict[str, set[str]] = field(default_factory=dict)
    hears: Callable[[str, str, Any], Any] = lambda me, name, table: table
    odometers: dict[str, Odometer] = field(default_factory=dict)

    @property
    def roles(self) -> dict[str, str]:
        return {name: CLIENT for name in self.clients} | {AGGREGATORS_NAME: AGGREGATOR}

    def session(self, me: str, stage: str = "train") -> Session:
        stores = {name: LocalStore(self.root / name) for name in self.roles}
        keys = party_keys(me)
        peers = {name: Peer(name, *public_keys(name), stores[name]) for name in self.roles if name != me}
        private = PrivateArea(stores[me], keys.vault, "trial")
        own = Self(me, keys.signing, keys.sealing, stores[me])
        exchange = Exchange(own, peers, "trial", "run-1", "ab" * 32, Books(private.area("runs", "run-1", "books")))
        turns = self

        class Counted(Session):
            def send(self, name: str, to: Any = None, /, **columns: Any) -> None:
                if len(turns.sent.setdefault(self.me, set()) | {f"{self.moment}{name}"}) > turns.lost.get(self.me, math.inf):
                    raise Vanished
                super().send(name, to, **columns)
                turns.sent[self.me].add(f"{self.moment}{name}")

            def receive(self, name: str, frm: str, rows: int | None = None) -> Any:
                return turns.hears(self.me, name, super().receive(name, frm, rows))

            def peek(self, name: str, frm: str, round: int, rows: int | None = None) -> Any:
                table = super().peek(name, frm, round, rows)
                return None if table is None else turns.hears(self.me, name, table)

        return Counted(
            me=me,
            roles=self.roles,
            terms=None,  # type: ignore[arg-type]
            params=Parameters(),
            exchange=exchange,
            messages=self.contract,
            stage=stage,
            private=private,
            secrets=Secrets(keys.vault.derive("run"), {}, None),
            watch=Watch(Wait(0), 1e9, datetime(2999, 1, 1, tzinfo=UTC), RunState(private, "run-1"), lambda: None),
            progress=quiet,
            payments=Payments(
                self.odometers.setdefault(me, Odometer(stores[me], keys)), "trial", "run-1", "train", stage, "people"
            ),
        )

    def play(self, programs: Mapping[str, Callable[[Session], Any]], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """Everybody's result or error, by party; who vanished or waits for ever has none."""
        monkeypatch.setattr(waiting, "time", self.clock)
        results: dict[str, Any] = {}
        left, stuck = list(self.roles), 0
        while left and stuck < 3:
            before = (len(results), sum(map(len, self.sent.values())))
            for party in list(left):
                try:
                    with self.session(party) as session:
                        results[party] = programs[session.role](session)
                except (Waiting, Vanished):
                    continue
                except Exception as error:
                    results[party] = error
                left.remove(party)
            moved = before != (len(results), sum(map(len, self.sent.values())))
            stuck = 0 if moved else stuck + 1
            self.clock.now += 0 if moved else 1000
        return results
