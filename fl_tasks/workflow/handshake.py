"""The messages of joining a run, and what every party does with them: it reads and checks answers, and collects signatures."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pyarrow as pa

from tombolo.agreements.manifest import MANIFEST_DOMAIN, Decline, Invitation, Join, Manifest, Software, SoftwareDiffers
from tombolo.fl_tasks.learning.horizontal.secagg.lists import least_clients
from tombolo.fl_tasks.runtime.aborts import ABORT
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.record import enter_finding
from tombolo.fl_tasks.runtime.state import SECRET, SIGNATURES
from tombolo.fl_tasks.runtime.waiting import Watch
from tombolo.storage.canonical import parse
from tombolo.storage.errors import CodedError, blame
from tombolo.storage.exchange import Exchange, Receipt
from tombolo.storage.identity import SealKey, UnsealKey, decode_key, encode_key
from tombolo.storage.ledger.signed import Signed
from tombolo.storage.roles import AGGREGATOR, CLIENT, DATA, EVERYONE, GUEST, HOST, INITIATORS, INVITED, MOST_PARTIES
from tombolo.storage.schema import Message, MessageSet, Public
from tombolo.storage.stores.base import StoreUnreachable

JOIN_DOMAIN = "join"
"""The domain of signatures over answers to invitations, which other parties may pass on."""
_SEED = Public("binary", "a random seed that both draw masks from; independent of all data")
_LONGEST_ANSWER = 1 << 14
_ANSWER = Public(
    "binary", "a fresh public key, the software and the approver's name; or a client's refusal", longest=_LONGEST_ANSWER
)
_SIGNED = Public("binary", "the sender's signature over the document, for those to whom it is passed on")

HANDSHAKE = MessageSet(
    "handshake",
    Message(
        "invitation",
        INITIATORS,
        INVITED,
        {"document": Public("binary", "the kind of the run, its parameters and its software")},
        learns="that a run is proposed, by whom, with which parameters, software and version",
        step="invite",
    ),
    Message(
        "join",
        EVERYONE,
        EVERYONE,
        {"document": _ANSWER, "signature": _SIGNED},
        learns="that the sender takes part, its public sealing key of this run, its software and version, and who approved; or "
        "that the sender declines, and the name of the person who decided",
        step="join",
    ),
    Message(
        "closing",
        AGGREGATOR,
        CLIENT,
        {"document": Public("binary", "which clients had joined and declined, and when joining was closed", longest=1 << 20)},
        learns="which clients take part in the run; sent only where a run may begin without some clients",
        step="close",
        limit="each client checks the list against the signed answers, and signs the manifest made from the list",
    ),
    Message(
        "answers",
        AGGREGATOR,
        CLIENT,
        {"party": Public("string", "who answered the invitation"), "document": _ANSWER, "signature": _SIGNED},
        learns="the signed answers of the parties on the list, which they have sent to every party themselves",
        step="answers",
        rows=MOST_PARTIES,
    ),
    Message(
        "late_join",
        CLIENT,
        (CLIENT, AGGREGATOR),
        {"document": _ANSWER, "signature": _SIGNED},
        learns="that the sender asks to take part in a run that has begun, its public sealing key of this run, its software and "
        "version, and who approved",
        step="late",
    ),
    Message(
        "admission",
        AGGREGATOR,
        CLIENT,
        {"admitted": Public("bool", "whether a client that came late takes part")},
        learns="whether the recipient takes part in a run that has begun",
        step="admit",
    ),
    Message(
        "latecomers",
        AGGREGATOR,
        CLIENT,
        {"client": Public("string", "which clients take part though they came late"), "document": _ANSWER, "signature": _SIGNED},
        learns="which clients were admitted to the run after it had begun, and their signed late joins",
        step="latecomers",
        limit="each of them has sent its signed late join to every party itself",
        rows=MOST_PARTIES,
    ),
    Message(
        "manifest_signature",
        EVERYONE,
        EVERYONE,
        {"signature": Public("binary", "a signature over the public manifest")},
        learns="that the sender agrees to the manifest",
        step="sign",
    ),
)
SEEDS = MessageSet(
    "seeds",
    Message("pair_seed", DATA, DATA, {"seed": _SEED}, learns="a shared random seed", step="pair"),
    Message("common_seed", GUEST, HOST, {"seed": _SEED}, learns="a shared random seed", step="common"),
)


class BadJoin(CodedError):
    code = "TMB-RUN-006"
    cause = "A party's join answers another invitation or names another party or run."
    remedy = "That party must join again in a new run."


class NotSigned(CodedError):
    code = "TMB-RUN-014"
    cause = "Too few clients have signed the run's manifest within the agreement's deadline; the run has not begun."
    remedy = "Ask the named party. Start a new run when more clients can take part."


def send_to_all(context: PartyContext, exchange: Exchange, name: str, columns: Mapping[str, Any]) -> None:
    """Send a message to every peer, and to the initiator last: if the initiator has it, every other peer has it too."""
    for peer in sorted(exchange.peers, key=lambda name: name == context.initiator):
        exchange.send(HANDSHAKE[name], peer, 0, columns)


def sign_answer(context: PartyContext, document: Mapping[str, Any]) -> Signed:
    """This party's signed answer to an invitation."""
    return Signed.make(context.me, document, context.keys.signing, JOIN_DOMAIN)


def columns_of(*answers: Signed) -> dict[str, list[bytes]]:
    """The columns of a message with signed answers."""
    return {"document": [one.body for one in answers], "signature": [one.signature for one in answers]}


def read_answer(context: PartyContext, invited: Invitation, exchange: Exchange, peer: str) -> Signed | None:
    """A peer's answer to the invitation, checked; None while there is none. Raises the errors of :func:`answer_of`."""
    receipt = exchange.fetch(HANDSHAKE["join"], peer, 0)
    if receipt is None:
        return None
    with blame(peer):
        signed = signed_row(receipt.table, 0, peer)
        answer_of(context, invited, signed)
    return signed


def signed_row(table: pa.Table, row: int, party: str) -> Signed:
    """The signed document in one row of a received table."""
    document, signature = (table.column(name)[row].as_py() for name in ("document", "signature"))
    return Signed(party, document, signature)


def answer_of(context: PartyContext, invited: Invitation, signed: Signed) -> Join | Decline:
    """What a party has answered to the invitation. Raises SignatureRefused, :class:`BadJoin`, BadManifest or SoftwareDiffers."""
    peer = signed.party
    signed.verify(context.agreement.members[peer].verify, JOIN_DOMAIN)
    document = parse(signed.body)
    answer = (Decline if isinstance(document, dict) and "decliner" in document else Join).from_document(document)
    if (answer.party, answer.run, answer.invitation_digest) != (peer, invited.run, invited.digest):
        raise BadJoin(party=peer)
    if isinstance(answer, Join):
        require_seal(answer.seal, peer)
        require_software(invited, answer.software, peer)
    return answer


def require_software(invited: Invitation, found: Software | None, party: str) -> None:
    """Raise SoftwareDiffers unless a party's software fits the one that the invitation names."""
    if invited.software is not None and not invited.software.speaks_with(found):
        raise SoftwareDiffers(f"{found or 'An older version'} there; the invitation names {invited.software}.", party=party)


def clients_needed(context: PartyContext) -> int:
    """How many clients a run needs that may go on without some of them."""
    assert context.terms.task.horizontal_terms is not None
    return least_clients(context.terms.task.horizontal_terms, len(context.clients))


def collect_signatures(context: PartyContext, exchange: Exchange, watch: Watch, manifest: Manifest, seconds: float) -> None:
    """Wait for the signatures of all other parties of the manifest, verify and keep them.

    Where a run may go on without some clients, a client with a wrong signature, or without one after ``seconds``, counts as
    missing, and enough clients must have signed. Raises :class:`NotSigned`, SignatureRefused or the errors of waiting.
    """
    others = [name for name in manifest.parties if name != context.me]
    clients = [name for name in others if context.may_skip and context.roles[name] == CLIENT]
    for party in others:
        if party not in clients:
            hear(exchange, watch, HANDSHAKE["manifest_signature"], party)
            _keep_signature(context, exchange, manifest, party)
    signed: set[str] = set()
    wrong: dict[str, CodedError] = {}

    def answered() -> list[str]:
        for party in clients:
            if party not in signed and party not in wrong:
                try:
                    if _keep_signature(context, exchange, manifest, party):
                        signed.add(party)
                except StoreUnreachable:
                    continue
                except CodedError as error:
                    wrong[party] = error
                    enter_finding(context, manifest.invitation.run, party, error.code)
        return [party for party in clients if party in signed or party in wrong]

    if not clients:
        return
    message = HANDSHAKE["manifest_signature"]
    key = exchange.address(message.name, context.me, 0, message.step).head()
    watch.gather(answered, clients, seconds, message.name, key)
    own = context.role == CLIENT and context.me in manifest.parties
    if len(signed) + own < clients_needed(context):
        silent = next(party for party in clients if party not in signed)
        raise wrong.get(silent) or NotSigned(f"{len(signed) + own} of {len(clients) + own} clients have signed.", party=silent)


def _keep_signature(context: PartyContext, exchange: Exchange, manifest: Manifest, party: str) -> bool:
    """Verify and keep a party's signature over the manifest; False while there is none."""
    receipt = exchange.fetch(HANDSHAKE["manifest_signature"], party, 0)
    if receipt is None:
        return False
    signature = receipt.table.column("signature")[0].as_py()
    with blame(party):
        context.agreement.members[party].verify.verify(signature, MANIFEST_DOMAIN, bytes.fromhex(manifest.digest))
    context.state(manifest.invitation.run).keep(SIGNATURES.of(party), signature)
    return True


def book_answers(context: PartyContext, run: str, peer: str) -> None:
    """Book what a peer sent while the parties joined, and later, so that both sides have the same books. Nothing of it is used."""
    exchange = context.handshake(run)
    for message in (*(HANDSHAKE[name] for name in ("join", "late_join", "manifest_signature")), ABORT["abort"]):
        with suppress(CodedError):
            exchange.fetch(message, peer, 0)


def require_seal(seal: str, party: str) -> None:
    """Raise :class:`BadJoin` unless a party's sealing key for the run is a key."""
    try:
        SealKey(decode_key(seal)).seal(b"", b"")  # some keys look right and cannot be used
    except (CodedError, ValueError):
        raise BadJoin("Its sealing key is not valid.", party=party) from None


def hear(exchange: Exchange, watch: Watch, message: Message, peer: str) -> Receipt:
    """Wait for a message of a peer. Raises the errors of waiting and of the exchange."""
    key = exchange.address(message.name, exchange.me.name, 0, message.step).head()
    return watch.until(lambda: exchange.fetch(message, peer, 0), peer, message.name, key)


def run_secret(context: PartyContext, run: str) -> dict[str, str]:
    """This party's secrets of a run, drawn once: its unsealing key, and the seed of its own randomness."""
    fresh = {"unseal": encode_key(UnsealKey.new().raw), "prf": secrets.token_hex(32)}
    return context.state(run).keep(SECRET, fresh)


def run_seal(secret: Mapping[str, str]) -> str:
    """The public sealing key of a run's secrets, as text."""
    return encode_key(UnsealKey(decode_key(secret["unseal"])).public().raw)
