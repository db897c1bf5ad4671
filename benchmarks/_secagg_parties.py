"""Parties of a secure sum that take turns. Each is a thread that works until it must wait, so that its seconds are its own work."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from tombolo.fl_tasks.learning.horizontal.secagg import MESSAGES, Closing, Sum, aggregate, contribute
from tombolo.fl_tasks.learning.horizontal.secagg.masking import Words
from tombolo.fl_tasks.runtime.session import Secrets, Session
from tombolo.fl_tasks.runtime.state import RunState
from tombolo.fl_tasks.runtime.waiting import Wait, Watch
from tombolo.storage.books import Books
from tombolo.storage.exchange import Exchange, Peer, Self
from tombolo.storage.identity import PartyKeys
from tombolo.storage.private import PrivateArea
from tombolo.storage.roles import AGGREGATOR, CLIENT
from tombolo.storage.stores.local import LocalStore

T = TypeVar("T")
CENTRE = "centre"


class Vanished(Exception):
    """A client has vanished and does not come back."""


class Turn(threading.Thread):
    """The thread of one party. ``seconds`` and ``cpu`` count its work during its turns."""

    def __init__(self, program: Callable[[Turn], Any]) -> None:
        super().__init__(daemon=True)
        self._program, self._given, self._back = program, threading.Semaphore(0), threading.Semaphore(0)
        self.seconds, self.cpu, self.done = 0.0, 0.0, False
        self.result: Any = None

    def give(self) -> None:
        """Let the party work until it waits or ends."""
        began, cpu = time.perf_counter(), time.process_time()
        self._given.release()
        self._back.acquire()
        self.seconds += time.perf_counter() - began
        self.cpu += time.process_time() - cpu
        if isinstance(self.result, Exception) and not isinstance(self.result, Vanished):
            raise self.result

    def pause(self) -> None:
        """End the party's turn and wait for the next one. The party itself calls this."""
        self._back.release()
        self._given.acquire()

    def run(self) -> None:
        """Run the party's program in its turns."""
        self._given.acquire()
        try:
            self.result = self._program(self)
        except Exception as error:
            self.result = error
        self.done = True
        self._back.release()


class Patience(Watch):
    """Waits by ending the turn. A step with a time limit is closed when all other parties have had a turn."""

    turn: Turn

    def until(self, attempt: Callable[[], T | None], party: str, message: str, key: str) -> T:
        """End turns until ``attempt`` returns a result."""
        while (result := attempt()) is None:
            self.turn.pause()
        return result

    def gather(self, look: Callable[[], list[str]], among: Sequence[str], seconds: float, message: str, key: str) -> list[str]:
        """The clients whose message has arrived after one turn of all others."""
        if seconds and set(among) - set(there := look()):
            self.turn.pause()
            there = look()
        return there if seconds else look()


class Vanishing(Session):
    """The session of a client that vanishes before it sends its masked values."""

    def send(self, name: str, to: Any = None, /, **columns: Any) -> None:
        """Send a message. Raises :class:`Vanished` instead of sending the masked values."""
        if name == "masked":
            raise Vanished
        super().send(name, to, **columns)


@dataclass(frozen=True)
class Cost:
    """The cost of one sum for one party: time, and bytes sent and received."""

    seconds: float
    cpu: float
    sent: int
    received: int


@dataclass(frozen=True)
class Federation:
    """An aggregator and clients with directory stores."""

    root: Path
    clients: tuple[str, ...]
    keys: dict[str, PartyKeys]
    peers: dict[str, Peer]

    @classmethod
    def new(cls, root: Path, clients: int) -> Federation:
        """Make keys and stores for ``clients`` clients and an aggregator in the folder ``root``."""
        names = tuple(f"client{number:03d}" for number in range(clients))
        keys = {name: PartyKeys.new(name) for name in (*names, CENTRE)}
        peers = {
            name: Peer(name, own.signing.public(), own.sealing.public(), LocalStore(root / name)) for name, own in keys.items()
        }
        return cls(root, names, keys, peers)

    def sum(self, words: Words, run: str, lost: int) -> tuple[Sum, dict[str, Cost]]:
        """One secure sum. Every client adds ``words``; the last ``lost`` clients vanish. Also returns the costs of the others."""
        threshold, gone = 2 * len(self.clients) // 3 + 1, self.clients[len(self.clients) - lost :]

        def party(name: str) -> Turn:
            def work(turn: Turn) -> Any:
                with self._session(name, run, turn, name in gone) as session:
                    if name == CENTRE:
                        return aggregate(session, len(words), Closing(threshold, 1.0, self.clients))
                    return contribute(session, words, threshold)

            return Turn(work)

        turns = {name: party(name) for name in (*self.clients, CENTRE)}
        for turn in turns.values():
            turn.start()
        while left := [turn for turn in turns.values() if not turn.done]:
            for turn in left:
                turn.give()
        moved = {name: self._books(name, run) for name in turns}
        costs = {
            name: Cost(
                turn.seconds, turn.cpu, *(sum(entry.size for entry in moved[name].entries(book)) for book in ("sent", "received"))
            )
            for name, turn in turns.items()
            if name not in gone
        }
        return turns[CENTRE].result, costs

    def _private(self, name: str) -> PrivateArea:
        return PrivateArea(self.peers[name].store, self.keys[name].vault, "bench")

    def _books(self, name: str, run: str) -> Books:
        return Books(self._private(name).area("runs", run, "books"))

    def _session(self, name: str, run: str, turn: Turn, vanishes: bool) -> Session:
        own, private = self.keys[name], self._private(name)
        me = Self(name, own.signing, own.sealing, self.peers[name].store)
        others = {peer: other for peer, other in self.peers.items() if peer != name}
        watch = Patience(Wait(math.inf), math.inf, datetime(2999, 1, 1, tzinfo=UTC), RunState(private, run), lambda: None)
        watch.turn = turn
        return (Vanishing if vanishes else Session)(
            me=name,
            roles=dict.fromkeys(self.clients, CLIENT) | {CENTRE: AGGREGATOR},
            terms=None,  # type: ignore[arg-type]
            params={},
            exchange=Exchange(me, others, "bench", run, "ab" * 32, self._books(name, run)),
            messages=MESSAGES,
            stage="train",
            private=private,
            secrets=Secrets(own.vault.derive(run), {}, None),
            watch=watch,
        )
