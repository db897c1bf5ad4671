"""Checkpoints: the state of a role after each finished round, in the party's own private area. They are never overwritten."""

from __future__ import annotations

import hashlib
from typing import Any

from tombolo.fl_tasks.runtime.arrays import pack, unpack
from tombolo.fl_tasks.runtime.state import CHECKPOINTS, RunState

State = dict[str, Any]


class Checkpoints:
    """The checkpoints of one stage.

    The first checkpoint of a round stays. So an old process that still runs next to a retry cannot overwrite or split the state.
    """

    def __init__(self, kept: RunState) -> None:
        self._kept = kept
        self._latest: State | None = None
        self._digest = hashlib.sha256(b"no checkpoint").digest()
        self._loaded = False

    def latest(self) -> State | None:
        """The last round's state with its number under ``round``, or None."""
        if not self._loaded:
            rounds = self._kept.all(CHECKPOINTS)
            if rounds:
                self._hold(int(rounds[-1].key[0]), self._kept[rounds[-1]])
            self._loaded = True
        return self._latest

    def put(self, round: int, state: State) -> State:
        """Keep the state of a round; returns the state that is kept for this round."""
        return self._hold(round, self._kept.keep(CHECKPOINTS.of(round), pack(state)))

    def digest(self) -> bytes:
        """SHA-256 of the last checkpoint's bytes."""
        return self._digest

    def _hold(self, round: int, data: bytes) -> State:
        self._digest = hashlib.sha256(data).digest()
        self._latest, self._loaded = {**unpack(data), "round": round}, True
        return self._latest
