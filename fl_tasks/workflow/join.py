"""Join stage: from an invitation to a manifest that every party has signed, before any data is touched.

Messages: the initiator sends the invitation. Every party sends its join: a fresh sealing key for this run, and who approved. Every
party sends its signature over the manifest, which depends on the invitation and the joins only. Then the data parties send seeds.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tombolo.agreements.manifest import MANIFEST_DOMAIN, MOST_OF_A_PERSON, Invitation, Join, Manifest, Software, SoftwareDiffers
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter, enter_run
from tombolo.fl_tasks.runtime.session import Progress, log_progress
from tombolo.fl_tasks.runtime.state import JOIN, MANIFEST, SETTLED, SHARED_SEEDS, SIGNATURES
from tombolo.fl_tasks.runtime.waiting import Wait, Watch
from tombolo.fl_tasks.workflow.closing import Late, attending, refuse_absent
from tombolo.fl_tasks.workflow.handshake import (
    HANDSHAKE,
    SEEDS,
    BadJoin,
    answer_of,
    collect_signatures,
    columns_of,
    hear,
    read_answer,
    run_seal,
    run_secret,
    send_to_all,
    sign_answer,
)
from tombolo.fl_tasks.workflow.latecomers import ask_admission
from tombolo.fl_tasks.workflow.state import INVITATION, OWN_SEEDS
from tombolo.storage.canonical import canonical, parse
from tombolo.storage.errors import CodedError, blame, shown
from tombolo.storage.exchange import Exchange
from tombolo.storage.moments import moment, require_past
from tombolo.storage.roles import DATA
from tombolo.storage.schema import Message
from tombolo.storage.stores.base import KeyMissing

_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


class BadRunId(CodedError):
    code = "TMB-RUN-003"
    cause = "The run id is not valid."
    remedy = (
        "Choose a run id of letters, digits, dots, dashes and underscores: at most 200 characters, the first one a letter or a "
        "digit, and no two dots in a row."
    )


class BadInvitation(CodedError):
    code = "TMB-RUN-004"
    cause = "An invitation does not fit this party's agreement."
    remedy = (
        "Run `tombolo agreement check` at both parties and compare the digests. Compare the parameters with the allowed ranges. "
        "Then start a new run."
    )


class NoInvitation(CodedError):
    code = "TMB-RUN-005"
    cause = "There is no invitation to this run."
    remedy = "Check the run id: it is the same at every party. If it is right, ask the guest or the aggregator to start the run."


class NotYet(CodedError):
    code = "TMB-RUN-015"
    cause = "A run is asked for the rows as of a time that has not come yet."
    remedy = "Choose a time that has passed, with its time zone, or none for the present. A date alone means its start in UTC."


def invite(
    context: PartyContext,
    run: str,
    kind: str = "train",
    choices: Mapping[str, Any] | None = None,
    as_of: str | None = None,
    model: str | None = None,
) -> Invitation:
    """Propose a run to every peer; repeated calls for one run id return the invitation that was sent first."""
    if not _RUN.fullmatch(run) or ".." in run:
        raise BadRunId(party=context.me)
    now = datetime.now(UTC).replace(microsecond=0)
    proposed = Invitation.from_document(
        {
            "run": run,
            "kind": kind,
            "agreement": context.agreement.name,
            "agreement_digest": context.agreement.digest,
            "initiator": context.me,
            "parameters": context.terms.choose(choices or {}),
            "as_of": as_of or now.isoformat(),
            "created": now.isoformat(),
            "expires": (now + timedelta(seconds=context.terms.deadlines.run)).isoformat(),
            "model": model or None,
            "software": Software.of(context.terms.task.offered),
        }
    )
    if moment(proposed.as_of) > now + timedelta(seconds=context.terms.deadlines.clocks):
        raise NotYet(f"{proposed.as_of}; it is {now.isoformat()}.", party=context.me)
    kept = context.state(run).keep(INVITATION, proposed)
    invitations = _invitations(context, run)
    for peer in context.peers:
        invitations.send(_invitation_of(run), peer, 0, {"document": canonical(kept.document())})
    return kept


@dataclass(frozen=True)
class Summons:
    """A run that waits for this party to join: its id and kind."""

    run: str
    kind: str


def pending(context: PartyContext) -> list[Summons]:
    """Runs that this party is invited to and has not joined, oldest first.

    An invitation that cannot be accepted (altered, or made under another agreement) is listed as a training run: its join task then
    fails and shows the reason. An invitation that is older than the longest time of a run is not listed.
    """
    initiator = context.initiator
    if context.me == initiator:
        return []
    store, prefix = context.peers[initiator], f"to-{context.me}/{context.agreement.name}/invitations/000000/invite."
    oldest = datetime.now(UTC) - timedelta(seconds=context.terms.deadlines.run)
    summoned = []
    for key in store.list(prefix):
        run = key.removeprefix(prefix).split("/")[0]
        if not _RUN.fullmatch(run) or ".." in run or MANIFEST in context.state(run) or context.absent(run):
            continue
        try:
            modified = store.stat(key).modified
        except KeyMissing:  # retention deleted it after the listing
            continue
        if modified < oldest:
            continue
        try:
            invited = _fetch_invitation(context, run)
            if invited is not None and datetime.now(UTC) < invited.expires_at:
                summoned.append((modified, Summons(run, invited.kind)))
        except CodedError:
            summoned.append((modified, Summons(run, "train")))
    return [summons for _, summons in sorted(summoned, key=lambda pair: (pair[0], pair[1].run))]


def invitation(context: PartyContext, run: str) -> Invitation:
    """The invitation to one run. Raises :class:`NoInvitation`, or an error that says what is wrong with the invitation."""
    if not _RUN.fullmatch(run) or ".." in run:
        raise BadRunId(party=context.me)
    kept = context.state(run).get(INVITATION)
    if kept is not None:
        return kept
    fetched = None if context.me == context.initiator else _fetch_invitation(context, run)
    if fetched is None:
        raise NoInvitation(f"Run {run}.", party=context.me)
    return context.state(run).keep(INVITATION, fetched)


def join(
    context: PartyContext, run: str, wait: Wait, approver: str = "automatic", progress: Progress = log_progress
) -> dict[str, Any]:
    """Take part in a run. Returns the run, its kind, its approvers and the manifest's digest. Repeating it changes nothing.

    Raises Absent if the run begins without this party (only where the terms allow absent clients).
    """
    if SETTLED in context.state(run):  # the run's keys are destroyed; a cleared task must not draw new ones
        return _facts(context, context.manifest(run))
    invited = invitation(context, run)
    try:
        manifest = _joined(context, invited, wait, approver)
    except Late:
        manifest = ask_admission(context, invited, wait, approver)
    context.state(run).keep(MANIFEST, manifest)
    if context.role in DATA:
        _share_seeds(context, run, wait)
    progress({"stage": "join", "party": context.me, "manifest": manifest.digest[:16]})
    return _record(context, manifest)


def _joined(context: PartyContext, invited: Invitation, wait: Wait, approver: str) -> Manifest:
    """Answer the invitation, and sign the manifest together with all others who take part."""
    run, exchange, watch = invited.run, context.handshake(invited.run), context.watch(invited.run, wait)
    if context.may_skip:
        refuse_absent(context, invited, exchange)
    mine = Join(
        run=run,
        party=context.me,
        invitation_digest=invited.digest,
        seal=run_seal(run_secret(context, run)),
        approver=shown(approver[:MOST_OF_A_PERSON]),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        software=Software.of(context.terms.task.offered),
    )
    answer = context.state(run).keep(JOIN, mine.document())
    send_to_all(context, exchange, "join", columns_of(sign_answer(context, answer)))
    if context.may_skip:
        joins = attending(context, invited, exchange, wait)
    else:
        joins = [Join.from_document(answer), *_everybody(context, invited, exchange, watch)]
    manifest = Manifest.build(invited, joins)
    _sign(context, exchange, watch, manifest)
    return manifest


def _facts(context: PartyContext, manifest: Manifest) -> dict[str, Any]:
    return {
        "run": manifest.invitation.run,
        "kind": manifest.invitation.kind,
        "manifest": manifest.digest,
        "approvers": context.approvers(manifest.invitation.run),
    }


def _record(context: PartyContext, manifest: Manifest) -> dict[str, Any]:
    """Enter the start of the run in the record: its kind and manifest, the agreement and the members' keys. Returns the facts."""
    invited, members = manifest.invitation, context.agreement.members
    facts = _facts(context, manifest)
    about = {name: facts[name] for name in ("manifest", "approvers")}
    enter_run(context, invited.run, invited.kind, initiator=invited.initiator, **about)
    keys = {name: member.fingerprint for name, member in members.items()}
    enter(context, invited.run, "agreement", context.agreement.digest, links=len(context.agreement.chain), keys=keys)
    return facts


def _everybody(context: PartyContext, invited: Invitation, exchange: Exchange, watch: Watch) -> list[Join]:
    """The joins of all other parties, waited for."""
    joins = []
    for peer in context.peers:
        hear(exchange, watch, HANDSHAKE["join"], peer)
        signed = read_answer(context, invited, exchange, peer)
        assert signed is not None
        answer = answer_of(context, invited, signed)
        if not isinstance(answer, Join):
            raise BadJoin("It declines the run, but the terms do not allow any party to be absent.", party=peer)
        joins.append(answer)
    return joins


def _sign(context: PartyContext, exchange: Exchange, watch: Watch, manifest: Manifest) -> None:
    """Exchange signatures over the manifest's digest and keep them all. Absent clients receive this party's signature too."""
    fresh = context.keys.signing.sign(MANIFEST_DOMAIN, bytes.fromhex(manifest.digest))
    mine = context.state(manifest.invitation.run).keep(SIGNATURES.of(context.me), fresh)
    send_to_all(context, exchange, "manifest_signature", {"signature": mine})
    collect_signatures(context, exchange, watch, manifest, context.terms.deadlines.message)


def _share_seeds(context: PartyContext, run: str, wait: Wait) -> None:
    """Every two data parties share one seed. The guest sends one more seed to every host (never to the arbiter)."""
    exchange, state, watch = context.exchange(run), context.state(run), context.watch(run, wait)
    data = [party for party, role in context.roles.items() if role in DATA]
    guest = context.initiator

    def drawn(name: str) -> bytes:
        return state.keep(OWN_SEEDS.of(name), secrets.token_bytes(32))

    def received(name: str, peer: str) -> bytes:
        seed: bytes = hear(exchange, watch, SEEDS[name], peer).table.column("seed")[0].as_py()
        if len(seed) != 32:
            raise BadJoin("A seed has a wrong length.", party=peer)
        return seed

    later, earlier = data[data.index(context.me) + 1 :], data[: data.index(context.me)]
    pairs = {peer: drawn(peer) for peer in later}
    for peer, seed in pairs.items():
        exchange.send(SEEDS["pair_seed"], peer, 0, {"seed": seed})
    if context.me == guest:
        common = drawn("common")
        for peer in data:
            if peer != guest:
                exchange.send(SEEDS["common_seed"], peer, 0, {"seed": common})
    pairs |= {peer: received("pair_seed", peer) for peer in earlier}
    if context.me != guest:
        common = received("common_seed", guest)
    state.keep(SHARED_SEEDS, {"pairs": {peer: seed.hex() for peer, seed in pairs.items()}, "common": common.hex()})


def _invitations(context: PartyContext, run: str) -> Exchange:
    """The exchange for invitations. They lie in one place for all runs, so that a peer finds new ones with one short listing."""
    return context.handshake("invitations", booked=run)


def _invitation_of(run: str) -> Message:
    message = HANDSHAKE["invitation"]
    return Message(message.name, message.sender, message.to, message.columns, message.learns, step=f"invite.{run}")


def _fetch_invitation(context: PartyContext, run: str) -> Invitation | None:
    """The initiator's invitation to one run, checked against the agreement; None where there is none."""
    initiator = context.initiator
    receipt = _invitations(context, run).fetch(_invitation_of(run), initiator, 0)
    if receipt is None:
        return None
    with blame(initiator):
        invited = Invitation.from_document(parse(receipt.table.column("document")[0].as_py()))
    if (invited.run, invited.agreement, invited.initiator) != (run, context.agreement.name, initiator):
        raise BadInvitation("It names another run, agreement or initiator.", party=initiator)
    _require_times(context, invited)
    if invited.agreement_digest != context.agreement.digest:
        raise BadInvitation(
            f"Its agreement has the digest {invited.agreement_digest[:16]}..., ours has {context.agreement.digest[:16]}....",
            party=initiator,
        )
    ours = Software.of(context.terms.task.offered)
    if not ours.speaks_with(invited.software):
        raise SoftwareDiffers(f"{invited.software or 'An older version'} there, {ours} here.", party=initiator)
    if context.terms.choose(invited.parameters) != invited.parameters:
        raise BadInvitation("Its parameters are not complete.", party=initiator)
    return invited


def _require_times(context: PartyContext, invited: Invitation) -> None:
    """Raise WrongTime or BadInvitation unless an invitation's times fit this party's clock and the terms' deadline of a run."""
    deadlines = context.terms.deadlines
    for what, at in (("An invitation was made", invited.created), ("Rows are taken as of", invited.as_of)):
        require_past(moment(at), deadlines.clocks, what, invited.initiator)
    lasts = (invited.expires_at - moment(invited.created)).total_seconds()
    if not 0 < lasts <= deadlines.run + 1:
        raise BadInvitation(f"It lasts {lasts:.0f} s; the terms allow {deadlines.run:g} s.", party=invited.initiator)
