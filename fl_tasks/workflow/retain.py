"""Retention: when a run's block has been final for the agreed time, the run's artifacts and its data about people are deleted.

The record stays: entries with hashes, sizes and addresses, the blocks, the signed manifest, metrics, and the published model. In
the private area, retention deletes the objects that are declared so in :mod:`tombolo.fl_tasks.workflow.state`, and every object of
the run that is not declared. The party itself must delete its source tables, and the predictions in its own outbox.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter
from tombolo.fl_tasks.runtime.session import Progress, log_progress
from tombolo.fl_tasks.runtime.state import AGREEMENT, MANIFEST
from tombolo.fl_tasks.workflow.state import ERASED, INVITATION, declared, items_of
from tombolo.storage.errors import CodedError


def retain(context: PartyContext, now: datetime | None = None, progress: Progress = log_progress) -> dict[str, Any]:
    """Delete objects that are older than ``retention.artifacts_days``; returns the runs and the number of objects.

    The age of a run counts from the moment when its block became final. If it has no block, it counts from the time at which its
    invitation expired. Repeating it changes nothing. A run that cannot be erased does not stop the others: its error is raised when
    all are done.
    """
    erased, objects, failed = [], 0, list[CodedError]()
    if context.terms.retention is not None:
        before = (now or datetime.now(UTC)) - timedelta(days=context.terms.retention.artifacts_days)
        for run, ended in _closed(context):
            try:
                since = ended()
                if since is not None and since <= before and ERASED.of(run) not in context.state():
                    objects += _erase(context, run)
                    erased.append(run)
                    progress({"stage": "retain", "party": context.me, "run": run})
            except CodedError as error:
                failed.append(error)
    if failed:
        raise failed[0]
    return {"runs": erased, "objects": objects}


def _closed(context: PartyContext) -> Iterator[tuple[str, Callable[[], datetime | None]]]:
    """All runs, each with a function that gives the time at which it ended, as far as that is known."""
    settled = set()
    for height in range(1, context.blocks.height() + 1):
        document = context.blocks.get(height)
        if document is not None:
            settled.add(document["block"]["run"])
            yield document["block"]["run"], partial(context.blocks.written, height)
    runs = {name.split("/")[1] for name in context.private.names("runs/")}
    for run in sorted(runs - settled):
        yield run, partial(_expired, context, run)


def _expired(context: PartyContext, run: str) -> datetime | None:
    manifest, invited = context.state(run).get(MANIFEST), context.state(run).get(INVITATION)
    invitation = manifest.invitation if manifest else invited
    return None if invitation is None else invitation.expires_at


def _erase(context: PartyContext, run: str) -> int:
    """Delete first, then note it. After a crash in between, the next call deletes the rest."""
    began = MANIFEST in context.state(run)
    took_part = context.taking_part(run) if began else context.peers  # signed artifacts for absent parties stay
    artifacts = [key for peer in context.peers if peer in took_part for key in _artifacts(context, peer, run)]
    for key in artifacts:
        context.store.delete(key)
    personal = _personal(context, run)
    for name in personal:
        context.private.delete(name)
    count = len(artifacts) + len(personal)
    enter(context, run, "erasure", "retention", objects=count)
    context.state().keep(ERASED.of(run), {"objects": count, "at": datetime.now(UTC).isoformat(timespec="seconds")})
    return count


def _personal(context: PartyContext, run: str) -> list[str]:
    """Names of the private objects to erase.

    Objects of the agreement that belong to the run come first, in the order of their declarations (so that the note of a prediction
    is deleted before its scores). The run's own objects follow.
    """
    items, state = items_of(context.terms.task.descriptor), context.state(run)
    names: list[str] = []
    for item in items:
        if item.place == AGREEMENT and item.ends == "retention":
            known = run if item.named_by is None else state.get(item.named_by)
            names += [] if known is None else [kept.name for kept in state.all(item.of(known))]
    for name in context.private.names(f"runs/{run}/"):
        item_of_name = declared(items, name)
        names += [name] if item_of_name is None or item_of_name.ends != "never" else []
    return names


def _artifacts(context: PartyContext, peer: str, run: str) -> list[str]:
    """Keys of this party's artifacts of the run to one peer, with the invitation."""
    mine = f"to-{peer}/{context.agreement.name}"
    return [*context.store.list(f"{mine}/{run}/"), *context.store.list(f"{mine}/invitations/000000/invite.{run}/")]


def erased(context: PartyContext, run: str) -> dict[str, Any] | None:
    """How many objects of a run retention deleted, and when; None if it has deleted nothing."""
    return context.state().get(ERASED.of(run))
