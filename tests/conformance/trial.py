"""A small federation of one protocol on one engine, in memory: its stages run in threads or by turns, watched and disturbed."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from typing import Any

from tests.federation import FOREVER, Federation, quiet
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.waiting import PeerAborted, Wait, Waiting
from tombolo.fl_tasks.workflow.abort import abort
from tombolo.storage.exchange import Exchange, Receipt
from tombolo.storage.schema import Message
from tombolo.storage.stores.memory import MemoryStore

Objects = Mapping[str, dict[str, Any]]
"""What lies in every party's store."""
Sent = tuple[str, str, str, int, str]
"""A message's name, who sends it, to whom, in which round and step."""
MOST_TURNS = 400


class Killed(Exception):
    """The program of a party ends here, as a killed process does: nothing of it remains but what lies in its store."""


@dataclass
class Watcher:
    """Sees everything that leaves a party or reaches it; the default one changes nothing."""

    def leaving(self, sent: Sent, columns: Mapping[str, Any]) -> None:
        """Called before an artifact is written."""

    def left(self, sent: Sent) -> None:
        """Called when it is written."""

    def arrived(self, me: str, message: Message, frm: str, round: int, receipt: Receipt, rows: int | None) -> Receipt:
        """What the party gets to see of a verified artifact."""
        return receipt


@dataclass
class Recorder(Watcher):
    """Notes what was sent, in order."""

    sent: list[Sent] = field(default_factory=list)

    def left(self, sent: Sent) -> None:
        self.sent.append(sent)


@dataclass
class Killer(Watcher):
    """Kills a party's program right before or right after it sends something, each time once."""

    moments: set[tuple[Sent, str]]

    def leaving(self, sent: Sent, columns: Mapping[str, Any]) -> None:
        self._at(sent, "before")

    def left(self, sent: Sent) -> None:
        self._at(sent, "after")

    def _at(self, sent: Sent, moment: str) -> None:
        if (sent, moment) in self.moments:
            self.moments.remove((sent, moment))
            raise Killed


class WatchedExchange(Exchange):
    """An exchange whose watcher sees all that is sent and fetched."""

    watcher: Watcher

    def send(self, message: Message, recipient: str, round: int, columns: Mapping[str, Any]) -> int:
        sent = (message.name, self.me.name, recipient, round, message.step)
        self.watcher.leaving(sent, columns)
        size = super().send(message, recipient, round, columns)
        self.watcher.left(sent)
        return size

    def fetch(self, message: Message, sender: str, round: int, rows: int | None = None) -> Receipt | None:
        receipt = super().fetch(message, sender, round, rows)
        return None if receipt is None else self.watcher.arrived(self.me.name, message, sender, round, receipt, rows)


@dataclass
class WatchedContext(PartyContext):
    """A party at work whose exchanges are watched."""

    watcher: Watcher = field(default_factory=Watcher)

    def exchange(self, run: str) -> Exchange:
        found = super().exchange(run)
        watched = copy.copy(found)
        watched.__class__ = WatchedExchange
        watched.watcher = self.watcher  # type: ignore[attr-defined]
        return watched


class Trial(Federation):
    """A federation whose stores are in memory, so that its state can be kept and set back in a moment."""

    def __init__(self, made: Federation) -> None:
        super().__init__(made.root, made.name, made.parties)
        self.stores = {party: MemoryStore(party) for party in self.parties}
        self.watcher = Watcher()
        self._opened: dict[str, PartyContext] = {}
        self._lock = threading.Lock()

    def context(self, party: str) -> PartyContext:
        with self._lock:
            if party not in self._opened:
                self._opened[party] = super().context(party)
            opened = self._opened[party]
        given = {one.name: getattr(opened, one.name) for one in fields(opened)}
        peers = {name: store for name, store in self.stores.items() if name != party}
        return WatchedContext(**{**given, "store": self.stores[party], "peers": peers, "watcher": self.watcher})

    def objects(self) -> Objects:
        return {party: dict(store._objects) for party, store in self.stores.items()}

    def restore(self, objects: Objects) -> None:
        for party, store in self.stores.items():
            store._objects = dict(objects[party])

    def watched(self, watcher: Watcher, work: Callable[[], Any]) -> Any:
        """Do something while a watcher looks on."""
        self.watcher = watcher
        try:
            return work()
        finally:
            self.watcher = Watcher()

    def through(self, stage: Callable[..., Any], run: str, **options: Any) -> dict[str, Any]:
        """A stage at all parties at once, each in a thread; a killed program is begun anew with nothing in its memory."""

        def work(party: str) -> Any:
            while True:
                try:
                    return stage(self.context(party), run, FOREVER, progress=quiet, **options)
                except Killed:
                    continue
                except Exception as error:
                    abort(self.context(party), run, error)
                    raise

        with ThreadPoolExecutor(len(self.parties)) as pool:
            futures = {party: pool.submit(work, party) for party in self.parties}
        errors = [error for error in (future.exception() for future in futures.values()) if error is not None]
        for error in sorted(errors, key=lambda error: isinstance(error, PeerAborted)):
            raise error
        return {party: future.result() for party, future in futures.items()}

    def by_turns(
        self, stage: Callable[..., Any], run: str, ended: Callable[[str, BaseException | None], None], **options: Any
    ) -> None:
        """The same in one thread: each party works until a message is missing, forgets everything, and begins anew.

        ``ended`` hears how each turn of a party ended.
        """
        left, turns = list(self.parties), 0
        while left:
            turns += 1
            assert turns < MOST_TURNS, "nobody gets any further"
            for party in list(left):
                try:
                    stage(self.context(party), run, Wait(0), progress=quiet, **options)
                except Waiting as error:
                    ended(party, error)
                except Exception as error:
                    ended(party, error)
                    raise
                else:
                    ended(party, None)
                    left.remove(party)
