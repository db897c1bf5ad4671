"""Waiting for a peer: poll for a short time, then let the caller defer. It also checks aborts and the agreement's deadlines."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from tombolo.fl_tasks.runtime.state import WAITS, RunState
from tombolo.storage.errors import CodedError, Failure
from tombolo.storage.stores.base import StoreUnreachable

T = TypeVar("T")
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.004, 0.5, 1.06  # a pause is 1/17 of the time waited so far
_ABORT_EVERY = 0.7
_NOTE_AFTER = 1.0
log = logging.getLogger("tombolo")


@dataclass(frozen=True)
class Wait:
    """How long a task polls by itself (seconds) before it raises :class:`Waiting`; infinite if the caller cannot defer."""

    inline: float


class Waiting(Exception):
    """The awaited artifact is not there yet: ``party`` must write ``key`` into its store before ``deadline``."""

    def __init__(self, party: str, message: str, key: str, deadline: datetime) -> None:
        super().__init__(f"waiting for {message} from {party}")
        self.party, self.message, self.key, self.deadline = party, message, key, deadline


class PeerSilent(CodedError):
    code = "TMB-EXCH-003"
    cause = "A peer did not send an expected message within the agreement's deadline."
    remedy = "Ask that party to check its DAG run and its store. Start a new run when they work again."


class PeerAborted(CodedError):
    code = "TMB-EXCH-004"
    cause = "A peer aborted the run."
    remedy = "Read the named code and its remedy. When the named party has corrected the cause, start a new run."

    def __init__(self, origin: Failure) -> None:
        """``origin`` is the first failure of the run, as the party ``origin.by`` reports it."""
        super().__init__(party=origin.by)
        self.origin = origin

    def failure(self, me: str) -> Failure:
        """The first failure of the run. This party passes it on to its peers unchanged."""
        return self.origin

    def words(self) -> tuple[str, str]:
        """Two texts: which party failed, where and why; and the remedy."""
        return str(self.origin), self.origin.remedy


class RunExpired(CodedError):
    code = "TMB-EXCH-005"
    cause = "The run has expired: its time, as signed in its manifest, is over."
    remedy = "Start a new run. If runs need more time, agree on new terms with a longer `deadlines.run`."


class Watch:
    """The deadlines of one run, which survive restarts, and the check for aborts.

    ``notes`` keeps the time at which a wait began, so that a deferred wait goes on after a restart and does not begin again.
    ``aborts`` returns an error if a peer has published an abort.
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
        """Raise if a peer has aborted or the run has expired. It reads the stores at most once in 0.7 seconds."""
        if time.monotonic() - self._heard < _ABORT_EVERY:
            return
        self._heard = time.monotonic()
        error = self._aborts()
        if error is not None:
            raise error
        if self._expires is not None and datetime.now(UTC) > self._expires:
            raise RunExpired(f"It ended at {self._expires.isoformat(timespec='seconds')}.", party=me)

    def until(self, attempt: Callable[[], T | None], party: str, message: str, key: str) -> T:
        """Call ``attempt`` until it returns something. Raises Waiting, PeerSilent, PeerAborted or RunExpired.

        While a peer's store does not answer, its message is not there.
        """
        began, pause = time.monotonic(), _FIRST_PAUSE
        first: datetime | None = None
        unreachable: StoreUnreachable | None = None
        while True:
            self.check_aborts(party)
            try:
                result, unreachable = attempt(), None
            except StoreUnreachable as error:
                if error.party is None:  # this party's own store
                    raise
                if unreachable is None:
                    log.warning("%s", error)
                result, unreachable = None, error
            if result is not None:
                return result
            waited = time.monotonic() - began
            if waited > _NOTE_AFTER or waited >= self._wait.inline:
                first = first or self._since(key, waited)
                overdue = first.timestamp() + self._deadline
                if time.time() > overdue:
                    why = f" {unreachable.cause} {unreachable.detail}" if unreachable else ""
                    raise PeerSilent(f"The message {message} did not come within {self._deadline:g} s.{why}", party=party)
                if waited >= self._wait.inline:
                    raise Waiting(party, message, key, datetime.fromtimestamp(overdue, UTC))
            time.sleep(pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)

    def gather(self, look: Callable[[], list[str]], among: Sequence[str], seconds: float, message: str, key: str) -> list[str]:
        """Call ``look``, which returns the parties that have answered, until all of ``among`` have answered.

        It ends at the latest ``seconds`` after the wait began, counted over all tries, and returns the parties that have answered
        by then. Raises Waiting, PeerAborted or RunExpired.
        """
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
