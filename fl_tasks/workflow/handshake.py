"""The messages of joining a run, and what every party does with them: it reads and checks answers, and collects signatures."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from tombolo.agreements.manifest import MANIFEST_DOMAIN, Decline, Invitation, Join, Manifest, SoftwareDiffers
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.state import SECRET, SIGNATURES
from tombolo.fl_tasks.runtime.waiting import Watch
from tombolo.storage.canonical import parse
from tombolo.storage.errors import CodedError, blame
from tombolo.storage.exchange import Exchange, Receipt
from tombolo.storage.identity import SealKey, UnsealKey, decode_key, encode_key
from tombolo.storage.roles import AGGREGATOR, CLIENT, DATA, EVERYONE, GUEST, HOST, INITIATORS, INVITED, MOST_PARTIES
from tombolo.storage.schema import Message, MessageSet, Public

_SEED = Public("binary", "a random seed that both draw masks from; independent of all data")

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
        {"document": Public("binary", "a fresh public key, the software and the approver's name; or a client's refusal")},
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
        limit="each client checks the list against the joins that it received, and signs the manifest made from the list",
    ),
    Message(
        "late_join",
        CLIENT,
        (CLIENT, AGGREGATOR),
        {"document": Public("binary", "a fresh public key, the software and the approver's name")},
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
        {"client": Public("string", "which clients take part though they came late")},
        learns="which clients were admitted to the run after it had begun",
        step="latecomers",
        limit="each of them has shown its signed late join to every party",
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


def send_to_all(context: PartyContext, exchange: Exchange, name: str, columns: Mapping[str, Any]) -> None:
    """Send a message to every peer, and to the initiator last: if the initiator has it, every other peer has it too."""
    for peer in sorted(exchange.peers, key=lambda name: name == context.initiator):
        exchange.send(HANDSHAKE[name], peer, 0, columns)


def read_answer(invited: Invitation, exchange: Exchange, peer: str) -> Join | Decline | None:
    """A peer's answer to the invitation, None while there is none. Raises :class:`BadJoin`, or an error about the artifact."""
    receipt = exchange.fetch(HANDSHAKE["join"], peer, 0)
    if receipt is None:
        return None
    with blame(peer):
        return _read_answer(invited, peer, parse(receipt.table.column("document")[0].as_py()))


def _read_answer(invited: Invitation, peer: str, document: Any) -> Join | Decline:
    answer = (Decline if isinstance(document, dict) and "decliner" in document else Join).from_document(document)
    if (answer.party, answer.run, answer.invitation_digest) != (peer, invited.run, invited.digest):
        raise BadJoin(party=peer)
    if isinstance(answer, Join):
        require_seal(answer.seal, peer)
    if isinstance(answer, Join) and invited.software is not None and not invited.software.speaks_with(answer.software):
        raise SoftwareDiffers(
            f"{answer.software or 'An older version'} there; the invitation names {invited.software}.", party=peer
        )
    return answer


def collect_signatures(context: PartyContext, exchange: Exchange, watch: Watch, manifest: Manifest) -> None:
    """Wait for the signatures of all other parties of the manifest, verify and keep them."""
    signed, state = bytes.fromhex(manifest.digest), context.state(manifest.invitation.run)
    for party in (name for name in manifest.parties if name != context.me):
        signature = hear(exchange, watch, HANDSHAKE["manifest_signature"], party).table.column("signature")[0].as_py()
        with blame(party):
            context.agreement.members[party].verify.verify(signature, MANIFEST_DOMAIN, signed)
        state.keep(SIGNATURES.of(party), signature)


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
