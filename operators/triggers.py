"""Async triggers: one waits for an artifact of a run, the other watches for invitations to new runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 4.0, 10.0, 1.1
"""Seconds, and a factor. A task that runs again before the scheduler has noted its deferral would be counted as failed."""
_AGAIN_AFTER = 120.0


class ArtifactTrigger(BaseTrigger):
    """Fires when ``party`` has written ``key`` to its store, when a peer has aborted the run, or at the deadline."""

    def __init__(self, agreement: str, run: str, party: str, message: str, key: str, deadline: str) -> None:
        super().__init__()
        self.agreement, self.run_name, self.party = agreement, run, party
        self.message, self.key, self.deadline = message, key, deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and the arguments from which the triggerer makes the trigger again."""
        arguments = {"agreement": self.agreement, "run": self.run_name, "party": self.party}
        return (
            "tombolo.operators.triggers.ArtifactTrigger",
            {**arguments, "message": self.message, "key": self.key, "deadline": self.deadline},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the store until something happens; the event says what."""
        pause, happened = _FIRST_PAUSE, None
        party: Any = None
        until = datetime.fromisoformat(self.deadline)
        while datetime.now(UTC) <= until:
            await asyncio.sleep(pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)
            try:
                party = party or await asyncio.to_thread(_open, self.agreement)
                happened = await asyncio.to_thread(self._look, party)
            except Exception as error:  # a store that cannot be reached for a while must not end the wait
                self.log.warning("cannot read the store of %s now, trying again (%s)", self.party, type(error).__name__)
                happened = None
            if happened:
                break
        else:
            happened = "deadline"
        yield TriggerEvent({"event": happened, "party": self.party, "message": self.message})

    def _look(self, party: Any) -> str | None:
        """``artifact``, ``abort`` or None. An abort that cannot be verified also wakes the task, which then reports the error."""
        if self.key in party.peers[self.party].list(self.key):
            return "artifact"
        return "abort" if party.aborted(self.run_name) is not None else None


class InvitationTrigger(BaseEventTrigger):
    """Fires when this party is invited to a run that it has not joined. For the same run it fires again only after two minutes."""

    def __init__(self, party: str, agreements: list[str], every: float = 2.0) -> None:
        super().__init__()
        self.party, self.agreements, self.every = party, agreements, every

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and the arguments from which the triggerer makes the trigger again."""
        arguments = {"party": self.party, "agreements": self.agreements, "every": self.every}
        return "tombolo.operators.triggers.InvitationTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look for invitations as long as Airflow runs."""
        reported: dict[str, float] = {}
        while True:
            now = asyncio.get_running_loop().time()
            reported = {name: when for name, when in reported.items() if now - when < _AGAIN_AFTER}
            runs = await asyncio.to_thread(invited, self.agreements, self.log.warning)
            fresh = [run for run in runs if f"{run['agreement']}/{run['run']}" not in reported]
            if fresh:
                reported |= {f"{run['agreement']}/{run['run']}": now for run in fresh}
                yield TriggerEvent({"party": self.party, "runs": [run["run"] for run in fresh]})
            await asyncio.sleep(self.every)


def invited(agreements: list[str], warn: Any) -> list[dict[str, str]]:
    """The runs of these agreements that wait for this party. An agreement that cannot be read is logged and left out."""
    from tombolo.fl_tasks.workflow.join import pending

    runs = []
    for agreement in agreements:
        try:
            invitations = pending(_open(agreement))
        except Exception as error:  # the other agreements must still be read
            warn("agreement %s: %s", agreement, getattr(error, "code", None) or type(error).__name__)
            continue
        runs += [{"agreement": agreement, "run": invitation.run, "kind": invitation.kind} for invitation in invitations]
    return runs


def _open(agreement: str) -> Any:
    from tombolo.fl_tasks.runtime.context import PartyContext

    return PartyContext.open(agreement)
