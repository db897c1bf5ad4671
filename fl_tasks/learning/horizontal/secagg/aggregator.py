"""The aggregator's part in one secure sum: it closes every step, passes on what clients send each other, and learns the sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tombolo.fl_tasks.crypto.errors import WrongShape
from tombolo.fl_tasks.learning.horizontal.secagg.keys import ForeignShare, fits, mask_seed, seed_digest
from tombolo.fl_tasks.learning.horizontal.secagg.lists import SURVIVORS_DOMAIN, Roster, enough, read_keys, survivors_statement
from tombolo.fl_tasks.learning.horizontal.secagg.masking import Words, add_mask, pair_sign
from tombolo.fl_tasks.learning.horizontal.secagg.messages import BelowThreshold, ForeignList
from tombolo.fl_tasks.learning.horizontal.secagg.shamir import SHARE_BYTES, combine
from tombolo.fl_tasks.learning.horizontal.state import CLOSED
from tombolo.fl_tasks.runtime.session import Session


@dataclass(frozen=True)
class Sum:
    """The sum modulo 2^64, shape (n,), and the clients whose values are in it."""

    words: Words
    survivors: tuple[str, ...]


@dataclass(frozen=True)
class Closing:
    """How the aggregator closes steps: the threshold, how many seconds a step stays open, and the clients that the first step
    waits for (all clients if these are fewer than the threshold). Other clients may be in the step too."""

    threshold: int
    seconds: float
    expected: Sequence[str]


def aggregate(session: Session, count: int, closing: Closing) -> Sum:
    """Compute the sum of this round and part, over vectors of ``count`` words.

    A step ends when all clients that it waits for are in, or after ``closing.seconds``. Raises BelowThreshold, ForeignKey,
    ForeignShare, WrongShape, SignatureRefused, or what waiting raises.
    """
    roster = _keys(session, closing)
    sharers = _shares(session, roster, closing)
    survivors = _close(session, "masked", sharers, closing)
    roster.require(survivors, session.me)
    for name in sharers:
        session.send("survivors", name, client=survivors)
    total = np.zeros(count, dtype=np.uint64)
    for name in survivors:
        words = session.values(session.receive("masked", name, count), "value").to_numpy()
        if len(words) != count:
            raise WrongShape(f"{len(words)} values of a sum over {count}.", party=name)
        total += words
    _consents(session, roster, sharers, survivors, closing)
    seeds, masks = _secrets(session, roster, sharers, survivors, closing)
    for seed in seeds.values():
        add_mask(total, seed, -1)
    context = roster.context()
    for gone, private in masks.items():
        for name in roster.neighbours(gone, survivors):
            seed = mask_seed(private, roster.keys[name].mask, context, name)
            add_mask(total, seed, -pair_sign(roster.places[name], roster.places[gone]))
    return Sum(total, tuple(survivors))


def _close(session: Session, message: str, among: Sequence[str], closing: Closing, first: bool = False) -> list[str]:
    """The clients that are in after a step. It is kept before it is sent, so later artifacts stay out. Raises BelowThreshold."""
    step = CLOSED.of(session.round, session.moment["part"] or 0, message)
    names = session.state.get(step)
    if names is None:
        expected = [name for name in among if name in closing.expected] if first else among
        session.gather(message, expected if len(expected) >= closing.threshold else among, closing.seconds)
        there = session.gather(message, among, 0.0)
        names = session.state.keep(step, there)
    enough(names, closing.threshold, session.me)
    return names


def rostered(session: Session, round: int) -> list[str]:
    """The clients that were in time for this part's sum of a round, even if they dropped out; empty if there was no such sum."""
    return session.state.get(CLOSED.of(round, session.moment["part"] or 0, "advertise")) or []


def _keys(session: Session, closing: Closing) -> Roster:
    """Step 0: signed keys, passed on to all clients of the agreement, so that late clients learn that they are out."""
    names = _close(session, "advertise", session.clients, closing, first=True)
    shown, signatures, keys = [], [], {}
    for name in names:
        table = session.receive("advertise", name)
        joined, signature = session.scalar(table, "keys"), session.scalar(table, "signature")
        keys[name] = read_keys(session, name, joined, signature)
        shown.append(joined)
        signatures.append(signature)
    session.send("roster", client=names, keys=shown, signature=signatures)
    return Roster.of(session, keys, closing.threshold)


def _shares(session: Session, roster: Roster, closing: Closing) -> list[str]:
    """Step 1: sealed shares, each passed on to the neighbour that it is for."""
    sharers = _close(session, "shares", roster.names, closing)
    roster.require(sharers, session.me)
    boxes: dict[tuple[str, str], bytes] = {}
    for name in sharers:
        sealed = session.values(session.receive("shares", name), "box").to_pylist()
        others = roster.neighbours(name, roster.names)
        if len(sealed) != len(others):
            raise ForeignShare(f"{len(sealed)} sealed shares for {len(others)} neighbours.", party=name)
        boxes |= {(name, other): box for other, box in zip(others, sealed, strict=True)}
    for name in roster.names:
        mine = [boxes.get((other, name), b"") if name in sharers else b"" for other in sharers]
        session.send("inbox", name, client=sharers, box=pa.array(mine, pa.binary()))
    return sharers


def _consents(session: Session, roster: Roster, sharers: Sequence[str], survivors: Sequence[str], closing: Closing) -> None:
    """Step 3: signatures on the list of survivors, at least as many as the threshold, verified and shown to all."""
    signers = _close(session, "consent", survivors, closing)
    signatures = [session.scalar(session.receive("consent", name), "signature") for name in signers]
    statement = survivors_statement(roster, sharers, survivors)
    for name, signature in zip(signers, signatures, strict=True):
        session.verify(name, signature, SURVIVORS_DOMAIN, statement)
    for name in survivors:
        session.send("consents", name, client=signers, signature=signatures)


def _secrets(
    session: Session, roster: Roster, sharers: Sequence[str], survivors: Sequence[str], closing: Closing
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Step 4: the seeds of the survivors' own masks, and the mask keys of those who shared but did not survive."""
    shares: dict[str, dict[int, bytes]] = {name: {} for name in sharers}
    for holder in _close(session, "unmask", survivors, closing):
        table = session.receive("unmask", holder)
        held = [name for name in roster.holders(holder) if name in shares]
        if session.values(table, "client").to_pylist() != held:
            raise ForeignList("The shares are not those that were asked for.", party=holder)
        if session.values(table, "share").type.byte_width != SHARE_BYTES:
            raise ForeignShare(party=holder)
        for name, share in zip(held, session.values(table, "share").to_pylist(), strict=True):
            if len(shares[name]) < roster.graph.threshold:
                shares[name][roster.places[holder]] = share

    def recovered(name: str, fits_its_owner: Callable[[bytes], bool]) -> bytes:
        if len(shares[name]) < roster.graph.threshold:
            raise BelowThreshold(f"{len(shares[name])} of {roster.graph.threshold} shares in a neighbourhood.", party=session.me)
        secret = combine(shares[name])
        if secret is None or not fits_its_owner(secret):
            raise ForeignShare()
        return secret

    seeds = {u: recovered(u, lambda seed, u=u: seed_digest(seed) == roster.keys[u].seed_digest) for u in survivors}  # type: ignore[misc]
    gone = [name for name in sharers if name not in survivors]
    return seeds, {u: recovered(u, lambda key, u=u: fits(key, roster.keys[u])) for u in gone}  # type: ignore[misc]
