"""Live rewards: a prediction run pays for the quality of the published model on labels that arrived after its publication.

Each party earns by its contribution to the model. The guest names its latest monitoring of the model. A result is paid once: the
numbers of labelled rows of any two paid monitorings must differ by at least ``incentives.live.minimum_rows``. All parties compute
the rest.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tombolo.agreements.terms import LiveTerms
from tombolo.fl_tasks.incentives.coalitions import MESSAGES
from tombolo.fl_tasks.incentives.game import Game
from tombolo.fl_tasks.incentives.rewards import divide, weights_of
from tombolo.fl_tasks.learning.rounding import digits, significant
from tombolo.fl_tasks.ledger.settlement.settle import EarlierRun
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.session import Progress, Session
from tombolo.fl_tasks.runtime.state import SETTLED
from tombolo.fl_tasks.runtime.waiting import Wait
from tombolo.fl_tasks.workflow.monitor import history
from tombolo.fl_tasks.workflow.state import LIVE, TOLD
from tombolo.storage.errors import CodedError
from tombolo.storage.roles import GUEST

_LONGEST = 300


class BadLiveQuality(CodedError):
    code = "TMB-REWARD-004"
    cause = "The guest names a monitoring that cannot be paid: values out of range, too few rows, or paid already."
    remedy = (
        "Run `tombolo audit show` at both parties and compare. The guest must use the same version of Tombolo and restore missing "
        "objects of its store from a backup."
    )


def live_facts(context: PartyContext, run: str, wait: Wait, progress: Progress) -> dict[str, Any]:
    """The contributions to the model of a prediction run, its live quality, and the rewards for it; equal at all parties.

    Both are None if the terms have no live rewards or the model has no contributions. Raises :class:`BadLiveQuality`, and
    EarlierRun if this party has not settled the training run yet.
    """
    incentives, version = context.terms.incentives, context.manifest(run).invitation.model
    nothing: dict[str, Any] = {"contributions": None, "rewards": None}
    if incentives is None or incentives.live is None or version is None:
        return nothing
    settled = context.state(version).get(SETTLED)
    if settled is None:
        raise EarlierRun(version)
    published = settled["contributions"]
    if published is None or published["shapley"] is None:
        return nothing
    game = Game.of(context.terms, context.roles, bytes.fromhex(context.manifest(version).digest))
    with context.session(run, MESSAGES, "live", wait, progress, settling=True) as session:
        told = _tell(context, session, game, version, incentives.live) if session.role == GUEST else _hear(session)
        _check(context, session, game, version, incentives.live, told)
    share = _share(game, published, told)
    amount = int(incentives.live.budget * share)
    contributions = {**published, "live": {"model": version, **told, "share": float(share)}}
    paid = divide(amount, weights_of(published))
    return {
        "contributions": contributions,
        "rewards": {"budget": amount, "currency": incentives.currency, "refunds": {}, "rewards": paid},
    }


def _share(game: Game, published: dict[str, Any], told: dict[str, Any]) -> Fraction:
    """The gain on live labels divided by the gain at publication, limited to 0 to 1; 0 if nothing is new or there was no gain."""
    base = published["baseline"]
    then = Fraction(game.better(published["coalitions"][-1]["value"], base))
    now = Fraction(game.better(told["value"], base))
    return min(max(now / then, Fraction(0)), Fraction(1)) if told["booking"] and then > 0 else Fraction(0)


def _tell(context: PartyContext, session: Session, game: Game, version: str, live: LiveTerms) -> dict[str, Any]:
    """At the guest: choose the latest monitoring if it is new, claim it for this run, and send it. A repeat sends the same one."""
    told = session.state.keep(TOLD, _latest(context, session.run, game, version, live))
    session.send("live_quality", booking=told["booking"], rows=told["rows"], value=told["value"])
    return told


def _latest(context: PartyContext, run: str, game: Game, version: str, live: LiveTerms) -> dict[str, Any]:
    nothing = {"booking": "", "rows": 0, "value": 0.0}
    measured = [booking for booking in history(context, version) if booking["live"] is not None]
    if not measured:
        return nothing
    latest = max(measured, key=lambda booking: (booking["at"], booking["run"]))
    rows = latest["labelled_rows"]
    value = significant(latest["live"][game.metric], digits(rows))
    state = context.state()
    claims = [state[item] for item in state.all(LIVE.of(version))]
    paid = [claim["rows"] for claim in claims if claim["run"] != run]
    if rows < live.minimum_rows or any(abs(rows - earlier) < live.minimum_rows for earlier in paid):
        return nothing
    claim = state.keep(LIVE.of(version, latest["run"]), {"run": run, "rows": rows})
    return {"booking": latest["run"], "rows": rows, "value": value} if claim["run"] == run else nothing


def _hear(session: Session) -> dict[str, Any]:
    table = session.receive("live_quality", session.guest)
    return {name: session.scalar(table, name) for name in ("booking", "rows", "value")}


def _check(context: PartyContext, session: Session, game: Game, version: str, live: LiveTerms, told: dict[str, Any]) -> None:
    """Refuse impossible values, and a monitoring that was already paid according to this party's blocks."""
    booking, rows, value = told["booking"], told["rows"], told["value"]
    if not booking:
        if (rows, value) != (0, 0.0):
            raise BadLiveQuality("It names no monitoring, but it has rows or a value.", party=session.guest)
        return
    if len(booking) > _LONGEST or not live.minimum_rows <= rows <= 1 << 53 or not game.plausible([value]):
        raise BadLiveQuality(party=session.guest)
    for kept in context.blocks.all():
        block = kept["block"]
        earlier = ((block["facts"]["contributions"] or {}).get("live")) or {"booking": ""}
        paid = block["run"] != session.run and earlier["booking"] != "" and earlier["model"] == version
        if paid and (earlier["booking"] == booking or abs(earlier["rows"] - rows) < live.minimum_rows):
            raise BadLiveQuality(f"Run {block['run']} has already paid for it.", party=session.guest)
