"""Join stage: from an invitation to a manifest that every party has signed, before any data is touched.

Messages: the initiator's invitation; every party's join (a fresh sealing key for this run, and who approved); every party's
signature over the manifest, which is a function of the invitation and the joins alone; then seeds among the data parties.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.manifest import Invitation, Join, Kind, Manifest
from fl_tasks.ledger import enter, enter_run
from fl_tasks.session import Progress, log_progress
from fl_tasks.stages.closing import Late, attending, refuse_absent
from fl_tasks.stages.handshake import (
    HANDSHAKE,
    MANIFEST_DOMAIN,
    SEEDS,
    BadJoin,
    collect_signatures,
    hear,
    read_answer,
    run_seal,
    run_secret,
    send_to_all,
)
from fl_tasks.stages.latecomers import ask_admission
from fl_tasks.waiting import Wait, Watch
from fl_tasks.workplace import Workplace
from storage.canonical import canonical, parse
from storage.errors import CodedError
from storage.exchange import Exchange
from storage.roles import DATA
from storage.schema import Message
from storage.stores.base import KeyMissing

_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


class BadRunId(CodedError):
    code = "TMB-RUN-003"
    cause = "A run id may hold letters, digits, dot, dash and underscore only, 200 at most."
    remedy = "Choose another run id."


class BadInvitation(CodedError):
    code = "TMB-RUN-004"
    cause = "An invitation does not fit this party's agreement."
    remedy = "Compare `tombolo agreement check` at both parties, and the parameters with the allowed ranges."


class NoInvitation(CodedError):
    code = "TMB-RUN-005"
    cause = "No party has invited to this run."
    remedy = "The guest or the aggregator starts a run; its id is the same at every party."


def invite(
    place: Workplace,
    run: str,
    kind: Kind = "train",
    choices: Mapping[str, Any] | None = None,
    as_of: str | None = None,
    model: str | None = None,
) -> Invitation:
    """Propose a run to every peer; repeated calls for one run id return the invitation that was sent first."""
    if not _RUN.fullmatch(run) or ".." in run:
        raise BadRunId(party=place.me)
    now = datetime.now(UTC).replace(microsecond=0)
    proposed = Invitation.from_document(
        {
            "run": run,
            "kind": kind,
            "agreement": place.agreement.name,
            "agreement_digest": place.agreement.digest,
            "initiator": place.me,
            "parameters": place.terms.choose(choices or {}),
            "as_of": as_of or now.isoformat(),
            "created": now.isoformat(),
            "expires": (now + timedelta(seconds=place.terms.deadlines.run)).isoformat(),
            "model": model or None,
        }
    )
    stored = place.run_area(run).keep("invitation", canonical(proposed.document()))
    invitations = _invitations(place, run)
    for peer in place.peers:
        invitations.send(_invitation_of(run), peer, 0, {"document": stored})
    return Invitation.from_document(parse(stored))


@dataclass(frozen=True)
class Summons:
    """A run that waits for this party to join: its id and kind."""

    run: str
    kind: str


def pending(place: Workplace) -> list[Summons]:
    """Runs that this party is invited to and has not joined, oldest first.

    An invitation that cannot be accepted (altered, made under another agreement) is listed as a training run all the same: its
    join fails with the reason, where people look. Invitations older than a run may last are not listed.
    """
    initiator = place.initiator
    if place.me == initiator:
        return []
    store, prefix = place.peers[initiator], f"to-{place.me}/{place.agreement.name}/invitations/000000/invite."
    oldest = datetime.now(UTC) - timedelta(seconds=place.terms.deadlines.run)
    found = []
    for key in store.list(prefix):
        run = key.removeprefix(prefix).split("/")[0]
        try:
            modified = store.stat(key).modified
        except KeyMissing:  # retention took it since the listing
            continue
        if not _RUN.fullmatch(run) or modified < oldest or place.run_area(run).get("manifest") is not None or place.absent(run):
            continue
        try:
            invited = _fetch_invitation(place, run)
            if invited is not None and datetime.now(UTC) < invited.expires_at:
                found.append((modified, Summons(run, invited.kind)))
        except CodedError:
            found.append((modified, Summons(run, "train")))
    return [summons for _, summons in sorted(found, key=lambda pair: (pair[0], pair[1].run))]


def invitation(place: Workplace, run: str) -> Invitation:
    """The invitation to one run. Raises :class:`NoInvitation`, or what is wrong with it."""
    if not _RUN.fullmatch(run) or ".." in run:
        raise BadRunId(party=place.me)
    stored = place.run_area(run).get("invitation")
    if stored is not None:
        return Invitation.from_document(parse(stored))
    found = None if place.me == place.initiator else _fetch_invitation(place, run)
    if found is None:
        raise NoInvitation(f"Run {run}.", party=place.me)
    return Invitation.from_document(parse(place.run_area(run).keep("invitation", canonical(found.document()))))


def join(place: Workplace, run: str, wait: Wait, approver: str = "automatic", progress: Progress = log_progress) -> dict[str, Any]:
    """Take part in a run. Returns participants, approvers and the manifest's digest. Repeating it changes nothing.

    Raises Absent, where the terms allow it, in a run that begins without this party.
    """
    area = place.run_area(run)
    if area.get("settled") is not None:  # its keys are destroyed; a task that is cleared must not draw new ones
        return _facts(place, place.manifest(run))
    invited = invitation(place, run)
    try:
        manifest = _joined(place, invited, wait, approver)
    except Late:
        manifest = ask_admission(place, invited, wait, approver)
    area.keep("manifest", canonical(manifest.document()))
    if place.role in DATA:
        _share_seeds(place, run, wait)
    progress({"stage": "join", "party": place.me, "manifest": manifest.digest[:16]})
    return _record(place, manifest)


def _joined(place: Workplace, invited: Invitation, wait: Wait, approver: str) -> Manifest:
    """Answer, and sign the manifest with all others who take part."""
    run, exchange, watch = invited.run, place.handshake(invited.run), place.watch(invited.run, wait)
    if place.may_skip:
        refuse_absent(place, invited, exchange)
    mine = Join(
        run=run,
        party=place.me,
        invitation_digest=invited.digest,
        seal=run_seal(run_secret(place, run)),
        approver=approver,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    stored = place.run_area(run).keep("join", canonical(mine.document()))
    send_to_all(place, exchange, "join", {"document": stored})
    joins = [Join.from_document(parse(stored))]
    joins += attending(place, invited, exchange, wait) if place.may_skip else _everybody(place, invited, exchange, watch)
    manifest = Manifest.build(invited, joins)
    _sign(place, exchange, watch, manifest)
    return manifest


def _facts(place: Workplace, manifest: Manifest) -> dict[str, Any]:
    return {
        "run": manifest.invitation.run,
        "kind": manifest.invitation.kind,
        "manifest": manifest.digest,
        "approvers": place.approvers(manifest.invitation.run),
    }


def _record(place: Workplace, manifest: Manifest) -> dict[str, Any]:
    """The run's first entries: what it is to be, and under which agreement with whose keys. Returns what is told of it."""
    invited, members = manifest.invitation, place.agreement.members
    facts = _facts(place, manifest)
    about = {name: facts[name] for name in ("manifest", "approvers")}
    enter_run(place, invited.run, invited.kind, initiator=invited.initiator, **about)
    keys = {name: member.fingerprint for name, member in members.items()}
    enter(place, invited.run, "agreement", place.agreement.digest, links=len(place.agreement.chain), keys=keys)
    return facts


def _everybody(place: Workplace, invited: Invitation, exchange: Exchange, watch: Watch) -> list[Join]:
    """The joins of all other parties, waited for."""
    joins = []
    for peer in place.peers:
        hear(exchange, watch, HANDSHAKE["join"], peer)
        answer = read_answer(invited, exchange, peer)
        if not isinstance(answer, Join):
            raise BadJoin("By the terms nobody may be absent.", party=peer)
        joins.append(answer)
    return joins


def _sign(place: Workplace, exchange: Exchange, watch: Watch, manifest: Manifest) -> None:
    """Exchange signatures over the manifest's digest and keep them all; who takes no part is shown them too."""
    fresh = place.keys.signing.sign(MANIFEST_DOMAIN, bytes.fromhex(manifest.digest))
    mine = place.run_area(manifest.invitation.run).keep(f"signatures/{place.me}", fresh)
    send_to_all(place, exchange, "manifest_signature", {"signature": mine})
    collect_signatures(place, exchange, watch, manifest)


def _share_seeds(place: Workplace, run: str, wait: Wait) -> None:
    """Every two data parties come to share a seed; the guest's further seed goes to every host (never to the arbiter)."""
    exchange, area, watch = place.exchange(run), place.run_area(run), place.watch(run, wait)
    data = [party for party, role in place.roles.items() if role in DATA]
    guest, own = place.initiator, area.area("own-seeds")

    def drawn(name: str) -> bytes:
        return own.keep(name, secrets.token_bytes(32))

    def received(name: str, peer: str) -> bytes:
        seed: bytes = hear(exchange, watch, SEEDS[name], peer).table.column("seed")[0].as_py()
        if len(seed) != 32:
            raise BadJoin("A seed has a wrong length.", party=peer)
        return seed

    later, earlier = data[data.index(place.me) + 1 :], data[: data.index(place.me)]
    pairs = {peer: drawn(peer) for peer in later}
    for peer, seed in pairs.items():
        exchange.send(SEEDS["pair_seed"], peer, 0, {"seed": seed})
    if place.me == guest:
        common = drawn("common")
        for peer in data:
            if peer != guest:
                exchange.send(SEEDS["common_seed"], peer, 0, {"seed": common})
    pairs |= {peer: received("pair_seed", peer) for peer in earlier}
    if place.me != guest:
        common = received("common_seed", guest)
    area.keep("seeds", canonical({"pairs": {peer: seed.hex() for peer, seed in pairs.items()}, "common": common.hex()}))


def _invitations(place: Workplace, run: str) -> Exchange:
    """Invitations of all runs lie side by side, so that a peer finds new ones with one short listing."""
    return place.handshake("invitations", booked=run)


def _invitation_of(run: str) -> Message:
    message = HANDSHAKE["invitation"]
    return Message(message.name, message.sender, message.to, message.columns, message.learns, step=f"invite.{run}")


def _fetch_invitation(place: Workplace, run: str) -> Invitation | None:
    """The initiator's invitation to one run, checked against the agreement; None where there is none."""
    initiator = place.initiator
    receipt = _invitations(place, run).fetch(_invitation_of(run), initiator, 0)
    if receipt is None:
        return None
    found = Invitation.from_document(parse(receipt.table.column("document")[0].as_py()))
    if (found.run, found.agreement, found.initiator) != (run, place.agreement.name, initiator):
        raise BadInvitation("It names another run, agreement or initiator.", party=initiator)
    if found.agreement_digest != place.agreement.digest:
        raise BadInvitation(f"Digest {found.agreement_digest[:16]}..., ours is {place.agreement.digest[:16]}....", party=initiator)
    if place.terms.choose(found.parameters) != found.parameters:
        raise BadInvitation("Its parameters are not complete.", party=initiator)
    return found
