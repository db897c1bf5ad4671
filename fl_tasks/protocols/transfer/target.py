"""The side of the target: it has columns of the common rows, and no labels."""

from __future__ import annotations

from tombolo.fl_tasks.crypto.fixedpoint import encode
from tombolo.fl_tasks.crypto.vector import CipherVector, encrypt
from tombolo.fl_tasks.learning.vertical.key_holder import own_key, peer_key, vector
from tombolo.fl_tasks.protocols.transfer.encrypted import BITS, Floats, Half, Masked, product, sane, serve, through
from tombolo.fl_tasks.protocols.transfer.net import PartyNet
from tombolo.fl_tasks.protocols.transfer.objective import Objective, moved, mover
from tombolo.fl_tasks.protocols.transfer.protocol import TransferParameters, TransferTerms
from tombolo.fl_tasks.protocols.transfer.rows import TransferRows, guard_rows, labelled_of, most_sums
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.session import Session


def host(session: Session, rows: TransferRows) -> State:
    """The side of the target. Returns its last state, with the weights ``w``."""
    terms, params = session.terms.task.section(TransferTerms), session.parameters(TransferParameters)
    assert terms is not None
    x = rows.x[: rows.common]
    party_net, labelled = PartyNet.of(terms, x.shape[1]), labelled_of(params, rows.common)
    guard_rows(session, party_net, labelled)
    key, guest = own_key(session), session.guest
    session.send("public_key", key=key.public.to_bytes())
    guest_key = peer_key(session, guest)
    half, objective = Half.of(party_net.width), Objective.of(params)
    weighted = params.class_weights == "balanced"
    gamma = objective.gamma * labelled / rows.common
    state = session.latest or {"w": party_net.initial(params.seed, "host")}
    for number in session.rounds():
        w = state["w"]
        u = party_net.features(w, x)
        squares = half.squares(u[:labelled])
        own_loss = gamma * float((u**2).sum()) + labelled * objective.penalty(party_net, w)
        plain = [
            *encode(u.ravel(), BITS).tolist(),
            *encode((squares if weighted else squares.sum(axis=0)).ravel(), BITS).tolist(),
            *encode([own_loss], BITS).tolist(),
        ]
        session.send("target_terms", c=encrypt(key.public, plain, session.pool).to_arrow())  # step 2
        count = u.size + len(half) * (labelled if weighted else 1)
        received = vector(session, "source_terms", "c", guest_key, count, guest)
        masked = Masked(session, guest_key, guest, "target_gradient")
        masked.send(product(session, party_net.jacobian(w, x), _slope(session, u, labelled, received, half)))  # step 3
        serve(session, key, "source_gradient", guest, most_sums(session, party_net.width, labelled) + 1)  # step 4
        gradient = sane(masked.receive(), 3 * BITS, guest, labelled)
        gradient = gradient + party_net.gradient(w, x, 2.0 * objective.gamma / len(x) * u) + objective.decay(party_net, w)
        stop = bool(session.scalar(session.receive("stop", guest), "yes"))  # step 5
        w, kept = moved(mover(params, len(w), state), w, gradient)
        state = session.checkpoint({"w": w, **kept, "stopped": stop})
        session.report(round=number)
    return state


def _slope(session: Session, u: Floats, labelled: int, received: CipherVector, half: Half) -> CipherVector:
    """[[dL/du_B]] with 48 fractional bits, without the part that the target can compute alone: (common * width) ciphertexts."""
    scored = labelled * u.shape[1]
    by_label = received[:scored] + through(session, u[:labelled], received[u.size :], half)
    return CipherVector.concatenate([by_label, received[scored : u.size]])
