"""A federation's training by turns, in one thread: each party works until a message is missing, forgets everything, begins anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.federation import Federation, quiet
from tests.fl_tasks.learning.horizontal.parties import Clock, Vanished
from tombolo.fl_tasks.learning.horizontal.columns import ClientRows
from tombolo.fl_tasks.runtime import waiting
from tombolo.fl_tasks.runtime.waiting import Wait, Waiting

Gone = Callable[[str, str, int, int | None, int], bool]


def play(
    fed: Federation,
    run: str,
    gone: Gone,
    monkeypatch: pytest.MonkeyPatch,
    protocol: Any,
    rows: Callable[[str], ClientRows],
    idle_turns: int = 40,
) -> dict[str, Any]:
    """Turns until all are through, or nobody gets further for so many; results or errors by party.

    ``gone(party, message, round, part, furthest)`` says whether a party vanishes instead of sending at that moment, ``furthest``
    being the round that the furthest party has finished.
    """
    clock = Clock()
    clock.now = waiting.time.time()
    monkeypatch.setattr(waiting, "time", clock)
    found: dict[str, Any] = {}
    left, at, idle = list(fed.parties), dict.fromkeys(fed.parties, 0), 0
    while left and idle < idle_turns:
        idle += 1
        for party in list(left):
            with fed.context(party).session(run, protocol.MESSAGES, "train", Wait(0), quiet) as session:
                sends = session.send

                def send(name: str, to: Any = None, /, **columns: Any) -> None:
                    if gone(party, name, session.round, session.moment["part"], max(at.values())):
                        raise Vanished
                    sends(name, to, **columns)

                session.send = send  # type: ignore[method-assign]
                try:
                    aggregates = session.role == "aggregator"
                    found[party] = (
                        protocol.PROGRAMS.help(session) if aggregates else protocol.PROGRAMS.data["client"](session, rows(party))
                    )
                except (Waiting, Vanished):
                    done = (session.latest or {}).get("round", 0)
                    idle = 0 if done > at[party] else idle
                    at[party] = done
                    continue
                except Exception as error:
                    found[party] = error
                left.remove(party)
                idle = 0
        clock.now += 2  # a step stays open for five
    return found
