"""Async triggers: wait for one artifact of a run, and watch for invitations to new runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 4.0, 10.0, 1.1
"""The scheduler must have booked the deferral before the task runs again, or it takes the news of it for a crash of the new try."""
_AGAIN_AFTER = 120.0


class ArtifactTrigger(BaseTrigger):
    """Fires when ``party`` has written ``key`` into its store, when any peer has aborted the run, or at the deadline."""

    def __init__(self, agreement: str, run: str, party: str, message: str, key: str, deadline: str) -> None:
        super().__init__()
        self.agreement, self.run_name, self.party = agreement, run, party
        self.message, self.key, self.deadline = message, key, deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What the triggerer makes the trigger from anew."""
        arguments = {"agreement": self.agreement, "run": self.run_name, "party": self.party}
        return (
            "tombolo.operators.triggers.ArtifactTrigger",
            {**arguments, "message": self.message, "key": self.key, "deadline": self.deadline},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the store until something happened; tells what."""
        pause, happened = _FIRST_PAUSE, None
        party: Any = None
        until = datetime.fromisoformat(self.deadline)
        while datetime.now(UTC) <= until:
            await asyncio.sleep(pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)
            try:
                party = party or await asyncio.to_thread(_open, self.agreement)
                happened = await asyncio.to_thread(self._look, party)
            except Exception as error:  # a store that is away for a while must not end the wait
                self.log.warning("cannot look at %s's store now (%s)", self.party, type(error).__name__)
                happened = None
            if happened:
                break
        else:
            happened = "deadline"
        yield TriggerEvent({"event": happened, "party": self.party, "message": self.message})

    def _look(self, party: Any) -> str | None:
        """``artifact``, ``abort``, or None. An abort that cannot be verified wakes the task too, which then says what is wrong."""
        if self.key in party.peers[self.party].list(self.key):
            return "artifact"
        return "abort" if party.aborted(self.run_name) is not None else None


class InvitationTrigger(BaseEventTrigger):
    """Fires when this party is invited to a run that it has not joined; told again only after a while."""

    def __init__(self, party: str, agreements: list[str], every: float = 2.0) -> None:
        super().__init__()
        self.party, self.agreements, self.every = party, agreements, every

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What the triggerer makes the trigger from anew."""
        arguments = {"party": self.party, "agreements": self.agreements, "every": self.every}
        return "tombolo.operators.triggers.InvitationTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look for invitations for as long as Airflow runs."""
        told: dict[str, float] = {}
        while True:
            now = asyncio.get_running_loop().time()
            told = {name: when for name, when in told.items() if now - when < _AGAIN_AFTER}
            found = await asyncio.to_thread(invited, self.agreements, self.log.warning)
            fresh = [one for one in found if f"{one['agreement']}/{one['run']}" not in told]
            if fresh:
                told |= {f"{one['agreement']}/{one['run']}": now for one in fresh}
                yield TriggerEvent({"party": self.party, "runs": [one["run"] for one in fresh]})
            await asyncio.sleep(self.every)


def invited(agreements: list[str], warn: Any) -> list[dict[str, str]]:
    """Runs of these agreements that wait for this party; an agreement that cannot be looked at is named and passed over."""
    from tombolo.fl_tasks.workflow.join import pending

    found = []
    for agreement in agreements:
        try:
            summoned = pending(_open(agreement))
        except Exception as error:  # one agreement's trouble must not silence the others
            warn("agreement %s: %s", agreement, getattr(error, "code", None) or type(error).__name__)
            continue
        found += [{"agreement": agreement, "run": one.run, "kind": one.kind} for one in summoned]
    return found


def _open(agreement: str) -> Any:
    from tombolo.fl_tasks.runtime.context import PartyContext

    return PartyContext.open(agreement)
