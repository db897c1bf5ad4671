"""Waiting for a peer: poll for a short time, then let the caller defer; hear aborts; keep the agreement's deadlines."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from tombolo.fl_tasks.runtime.state import WAITS, RunState
from tombolo.storage.errors import CodedError, Failure

T = TypeVar("T")
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.004, 0.5, 1.06  # a pause is a seventeenth of what was waited so far
_ABORT_EVERY = 0.7
_NOTE_AFTER = 1.0


@dataclass(frozen=True)
class Wait:
    """How long a task polls by itself (seconds) before it raises :class:`Waiting`; infinite where nobody could defer."""

    inline: float


class Waiting(Exception):
    """The awaited artifact is not there yet: ``party`` is to write ``key`` into its store before ``deadline``."""

    def __init__(self, party: str, message: str, key: str, deadline: datetime) -> None:
        super().__init__(f"waiting for {message} from {party}")
        self.party, self.message, self.key, self.deadline = party, message, key, deadline


class PeerSilent(CodedError):
    code = "TMB-EXCH-003"
    cause = "A peer did not send what it owes within the agreement's deadline."
    remedy = "Ask that party to look at its DAG run; start a new run when it is back."


class PeerAborted(CodedError):
    code = "TMB-EXCH-004"
    cause = "A peer aborted the run."
    remedy = "The named code tells why; when that party has mended it, start a new run."

    def __init__(self, origin: Failure) -> None:
        """``origin`` is the failure that began it, at whichever party, as ``origin.by`` tells it."""
        super().__init__(party=origin.by)
        self.origin = origin

    def failure(self, me: str) -> Failure:
        """The failure that began it: whoever hears of it from this party reads that one."""
        return self.origin

    def words(self) -> tuple[str, str]:
        """Who failed, where and why, and what helps there."""
        return str(self.origin), self.origin.remedy


class RunExpired(CodedError):
    code = "TMB-EXCH-005"
    cause = "The run's time, as agreed in its manifest, is over."
    remedy = "Start a new run, or agree on a longer `deadlines.run`."


class Watch:
    """One run's patience: deadlines that survive restarts, and the ear for aborts.

    ``notes`` is where the time at which a wait began is kept, so that a deferred and resumed wait goes on
    instead of beginning anew. ``aborts`` returns an error where some peer has published one.
    """

    def __init__(
        self,
        wait: Wait,
        deadline: float,
        expires: datetime | None,
        notes: RunState,
        aborts: Callable[[], CodedError | None],
    ) -> None:
        self._wait, self._deadline, self._expires, self._notes, self._aborts = wait, deadline, expires, notes, aborts
        self._heard = 0.0

    def check_aborts(self, me: str) -> None:
        """Raise where a peer has aborted or the run has expired; asks the stores at most every moment or so."""
        if time.monotonic() - self._heard < _ABORT_EVERY:
            return
        self._heard = time.monotonic()
        error = self._aborts()
        if error is not None:
            raise error
        if self._expires is not None and datetime.now(UTC) > self._expires:
            raise RunExpired(f"It ended at {self._expires.isoformat(timespec='seconds')}.", party=me)

    def until(self, attempt: Callable[[], T | None], party: str, message: str, key: str) -> T:
        """Call ``attempt`` until it returns something. Raises Waiting, PeerSilent, PeerAborted or RunExpired."""
        began, pause = time.monotonic(), _FIRST_PAUSE
        first: datetime | None = None
        while True:
            self.check_aborts(party)
            found = attempt()
            if found is not None:
                return found
            waited = time.monotonic() - began
            if waited > _NOTE_AFTER or waited >= self._wait.inline:
                first = first or self._since(key, waited)
                overdue = first.timestamp() + self._deadline
                if time.time() > overdue:
                    raise PeerSilent(f"Awaited: {message} for {self._deadline:g} s.", party=party)
                if waited >= self._wait.inline:
                    raise Waiting(party, message, key, datetime.fromtimestamp(overdue, UTC))
            time.sleep(pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)

    def gather(self, look: Callable[[], list[str]], among: Sequence[str], seconds: float, message: str, key: str) -> list[str]:
        """Call ``look``, which says who is in, until all of ``among`` are, or ``seconds`` have passed since the wait began,
        over all tries; returns who is in then. Raises Waiting, PeerAborted or RunExpired."""
        began, pause = time.monotonic(), _FIRST_PAUSE
        closing = self._since(f"gather/{key}", 0.0).timestamp() + seconds
        while True:
            missing = [party for party in among if party not in (there := look())]
            if not missing or time.time() >= closing:
                return there
            self.check_aborts(missing[0])
            if time.monotonic() - began >= self._wait.inline:
                raise Waiting(missing[0], message, key, datetime.fromtimestamp(closing, UTC))
            time.sleep(pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)

    def _since(self, key: str, waited: float) -> datetime:
        """When the wait for ``key`` began, over all tries of this task."""
        began = datetime.fromtimestamp(time.time() - waited, UTC).isoformat()
        wait = WAITS.of(hashlib.sha256(key.encode()).hexdigest()[:32])
        return datetime.fromisoformat(self._notes.keep(wait, {"since": began})["since"])
