"""Retention: when a run's block has been final for as long as agreed, its artifacts and what was kept of people are deleted.

What stays is the record: entries with hashes, sizes and addresses, the blocks, the signed manifest, metrics, and the published
model. What goes of the private area is what :mod:`tombolo.fl_tasks.workflow.state` collects as erased, and whatever nobody
declared. The source tables and the predictions that were delivered to the party's own outbox are the party's to delete.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter
from tombolo.fl_tasks.runtime.session import Progress, log_progress
from tombolo.fl_tasks.runtime.state import AGREEMENT, MANIFEST
from tombolo.fl_tasks.workflow.state import ERASED, INVITATION, declared, items_of


def retain(context: PartyContext, now: datetime | None = None, progress: Progress = log_progress) -> dict[str, Any]:
    """Delete what has outlived ``retention.artifacts_days``; returns the runs and how many objects. Repeating it changes nothing.

    A run counts from the moment its block became final; one that never got a block from its manifest's expiry.
    """
    erased, objects = [], 0
    if context.terms.retention is not None:
        age = timedelta(days=context.terms.retention.artifacts_days)
        for run, since in _closed(context):
            if since + age <= (now or datetime.now(UTC)) and ERASED.of(run) not in context.state():
                objects += _erase(context, run)
                erased.append(run)
                progress({"stage": "retain", "party": context.me, "run": run})
    return {"runs": erased, "objects": objects}


def _closed(context: PartyContext) -> Iterator[tuple[str, datetime]]:
    """Runs in which nothing can happen any more, and since when."""
    settled = set()
    for height in range(1, context.blocks.height() + 1):
        document = context.blocks.get(height)
        if document is not None:
            settled.add(document["block"]["run"])
            yield document["block"]["run"], context.blocks.written(height)
    runs = {name.split("/")[1] for name in context.private.names("runs/")}
    for run in sorted(runs - settled):
        manifest, invited = context.state(run).get(MANIFEST), context.state(run).get(INVITATION)
        invitation = manifest.invitation if manifest else invited
        if invitation is not None:
            yield run, invitation.expires_at


def _erase(context: PartyContext, run: str) -> int:
    """Delete first, then note it: a crash in between deletes again, and finds less."""
    began = MANIFEST in context.state(run)
    took_part = context.taking_part(run) if began else context.peers  # what was signed stays there for those who did not
    doomed = [key for peer in context.peers if peer in took_part for key in _artifacts(context, peer, run)]
    for key in doomed:
        context.store.delete(key)
    personal = _personal(context, run)
    for name in personal:
        context.private.delete(name)
    count = len(doomed) + len(personal)
    enter(context, run, "erasure", "retention", objects=count)
    context.state().keep(ERASED.of(run), {"objects": count, "at": datetime.now(UTC).isoformat(timespec="seconds")})
    return count


def _personal(context: PartyContext, run: str) -> list[str]:
    """Names of what is erased: first what lies elsewhere and is known by the run, in the order of its declarations (so that a note
    of scores goes before the scores), then of the run's own objects."""
    items, state = items_of(context.terms.task.descriptor), context.state(run)
    names: list[str] = []
    for item in items:
        if item.place == AGREEMENT and item.ends == "retention":
            known = run if item.named_by is None else state.get(item.named_by)
            names += [] if known is None else [one.name for one in state.all(item.of(known))]
    for name in context.private.names(f"runs/{run}/"):
        found = declared(items, name)
        names += [name] if found is None or found.ends != "never" else []
    return names


def _artifacts(context: PartyContext, peer: str, run: str) -> list[str]:
    """This party's artifacts of the run to one peer, the invitation among them."""
    mine = f"to-{peer}/{context.agreement.name}"
    return [*context.store.list(f"{mine}/{run}/"), *context.store.list(f"{mine}/invitations/000000/invite.{run}/")]


def erased(context: PartyContext, run: str) -> dict[str, Any] | None:
    """What retention took of a run and when; None while it is all there."""
    return context.state().get(ERASED.of(run))
