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
    """How the aggregator closes steps: the threshold, how many seconds a step stays open, and whom the first step waits for (all
    clients where these are fewer than the threshold); who is not waited for may be in all the same."""

    threshold: int
    seconds: float
    expected: Sequence[str]


def aggregate(session: Session, count: int, closing: Closing) -> Sum:
    """Take the sum of this round and part, over vectors of ``count`` words.

    A step ends when everybody it waits for is in, or after ``closing.seconds``. Raises BelowThreshold, ForeignKey, ForeignShare,
    WrongShape, SignatureRefused, or what waiting raises.
    """
    roster = _keys(session, closing)
    sharers = _shares(session, roster, closing)
    survivors = _close(session, "masked", sharers, closing)
    roster.require(survivors, session.me)
    for name in sharers:
        session.send("survivors", name, client=survivors)
    total = np.zeros(count, dtype=np.uint64)
    for name in survivors:
        words = session.values(session.receive("masked", name), "value").to_numpy()
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
    """Who is in after a step; kept before anybody hears of it, so that a later artifact stays out. Raises BelowThreshold."""
    step = CLOSED.of(session.round, session.moment["part"] or 0, message)
    found = session.state.get(step)
    if found is None:
        expected = [one for one in among if one in closing.expected] if first else among
        session.gather(message, expected if len(expected) >= closing.threshold else among, closing.seconds)
        there = session.gather(message, among, 0.0)
        found = session.state.keep(step, there)
    enough(found, closing.threshold, session.me)
    return found


def rostered(session: Session, round: int) -> list[str]:
    """Whom the aggregator let into a round's sum of this part, whether they stayed or not; nobody where the round had none."""
    return session.state.get(CLOSED.of(round, session.moment["part"] or 0, "advertise")) or []


def _keys(session: Session, closing: Closing) -> Roster:
    """Step 0: signed keys, passed on to all clients of the agreement, so that those who are late learn that they are out."""
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
        found = session.values(session.receive("shares", name), "box").to_pylist()
        others = roster.neighbours(name, roster.names)
        if len(found) != len(others):
            raise ForeignShare(f"{len(found)} boxes for {len(others)} neighbours.", party=name)
        boxes |= {(name, other): box for other, box in zip(others, found, strict=True)}
    for name in roster.names:
        mine = [boxes.get((other, name), b"") if name in sharers else b"" for other in sharers]
        session.send("inbox", name, client=sharers, box=pa.array(mine, pa.binary()))
    return sharers


def _consents(session: Session, roster: Roster, sharers: Sequence[str], survivors: Sequence[str], closing: Closing) -> None:
    """Step 3: signatures on the survivors, at least a threshold of them, verified and shown to all."""
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
            raise ForeignList("Shares of other clients than asked for.", party=holder)
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

    seeds = {one: recovered(one, lambda seed, one=one: seed_digest(seed) == roster.keys[one].seed_digest) for one in survivors}  # type: ignore[misc]
    gone = [one for one in sharers if one not in survivors]
    return seeds, {one: recovered(one, lambda key, one=one: fits(key, roster.keys[one])) for one in gone}  # type: ignore[misc]
