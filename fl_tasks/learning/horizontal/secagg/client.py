"""A client's part in one secure sum (Bonawitz et al., CCS 2017, figure 4, with the consistency round; Bell et al., CCS 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from tombolo.fl_tasks.crypto.errors import WrongShape
from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.fl_tasks.learning.horizontal.secagg.keys import (
    ForeignKey,
    ForeignShare,
    OwnKeys,
    PublicKeys,
    mask_seed,
    open_shares,
    seal_shares,
)
from tombolo.fl_tasks.learning.horizontal.secagg.lists import (
    KEYS_DOMAIN,
    SURVIVORS_DOMAIN,
    Roster,
    keys_statement,
    listed,
    read_keys,
    survivors_statement,
)
from tombolo.fl_tasks.learning.horizontal.secagg.masking import Words, add_mask, pair_sign
from tombolo.fl_tasks.learning.horizontal.secagg.messages import TwoLists
from tombolo.fl_tasks.learning.horizontal.secagg.shamir import SHARE_BYTES, split
from tombolo.fl_tasks.learning.horizontal.state import SURVIVORS
from tombolo.fl_tasks.runtime.session import Session, log
from tombolo.storage.identity import SignatureRefused


def contribute(session: Session, words: Words, threshold: int) -> bool:
    """Put ``words`` (uint64, shape (n,)) into the sum of this round and part; returns whether they are in it.

    False if the aggregator closed a step without this client; the client then sends nothing more. Raises ForeignList,
    BelowThreshold, ForeignKey, TwoLists, or what waiting raises.
    """
    own = OwnKeys.draw(Prf(session.prf("secagg", session.moment["part"] or 0).derive("keys")))
    joined = own.public().joined()
    signature = session.sign(KEYS_DOMAIN, keys_statement(session, joined))
    session.send("advertise", session.aggregator, keys=joined, signature=signature)
    roster = _roster(session, own.public(), threshold)
    if session.me not in roster.names:
        return False
    mine = _own_shares(session, own, roster)
    sharers, boxes = _inbox(session, roster)
    if session.me not in sharers:
        return False
    session.send("masked", session.aggregator, value=_masked(session, own, roster, sharers, words))
    survivors = listed(session, session.receive("survivors", session.aggregator), sharers, threshold)
    roster.require(survivors, session.aggregator)
    if session.me not in survivors:
        return False
    _consent(session, roster, sharers, survivors)
    _answer(session, roster, survivors, {**_opened(session, own, roster, boxes), session.me: mine})
    return True


def _roster(session: Session, own: PublicKeys, threshold: int) -> Roster:
    """Step 0: the keys of all clients, each signed by its owner."""
    table = session.receive("roster", session.aggregator)
    names = listed(session, table, session.enrolled, threshold)
    columns = (session.values(table, name).to_pylist() for name in ("client", "keys", "signature"))
    keys: dict[str, PublicKeys] = {}
    for name, theirs, signature in zip(*columns, strict=True):
        if name == session.me:
            if theirs != own.joined():
                raise ForeignKey("The roster has other keys of this party.", party=session.aggregator)
            keys[name] = own
        else:
            keys[name] = read_keys(session, name, theirs, signature)
    if len({key for public in keys.values() for key in (public.seal, public.mask)}) != 2 * len(names):
        raise ForeignKey("Two keys of the roster are the same.", party=session.aggregator)
    return Roster.of(session, keys, threshold)


def _own_shares(session: Session, own: OwnKeys, roster: Roster) -> bytes:
    """Step 1: shares of both secrets, sealed to each neighbour; returns this client's own two."""
    prf = Prf(session.prf("secagg shares", session.moment["part"] or 0).derive(roster.context()))
    holders = roster.holders(session.me)
    places = [roster.places[name] for name in holders]
    shared = [split(secret, roster.graph.threshold, places, prf.stream(name)) for name, secret in _secrets(own)]
    pairs = {name: b"".join(pair) for name, *pair in zip(holders, *shared, strict=True)}
    boxes = [
        seal_shares(own.seal, roster.keys[name].seal, pair, roster.context(session.me, name), name)
        for name, pair in pairs.items()
        if name != session.me
    ]
    session.send("shares", session.aggregator, box=pa.array(boxes, pa.binary()))
    return pairs[session.me]


def _secrets(own: OwnKeys) -> Sequence[tuple[str, bytes]]:
    return ("seed", own.seed), ("mask", own.mask)


def _inbox(session: Session, roster: Roster) -> tuple[list[str], dict[str, bytes]]:
    """The clients that have shared their secrets, and the sealed shares for this one, by neighbour in the roster's order."""
    table = session.receive("inbox", session.aggregator)
    sharers = listed(session, table, roster.names, roster.threshold)
    roster.require(sharers, session.aggregator)
    boxes = dict(zip(sharers, session.values(table, "box").to_pylist(), strict=True))
    return sharers, {name: boxes[name] for name in roster.neighbours(session.me, boxes)}


def _masked(session: Session, own: OwnKeys, roster: Roster, sharers: Sequence[str], words: Words) -> Words:
    """Step 2: the values under this client's own mask and the masks that it shares with its neighbours among the sharers."""
    if words.ndim != 1:
        raise WrongShape("A sum is over vectors.")
    total = words.copy()
    add_mask(total, own.seed)
    context, place = roster.context(), roster.places[session.me]
    for name in roster.neighbours(session.me, sharers):
        seed = mask_seed(own.mask, roster.keys[name].mask, context, name)
        add_mask(total, seed, pair_sign(place, roster.places[name]))
    return total


def _consent(session: Session, roster: Roster, sharers: Sequence[str], survivors: Sequence[str]) -> None:
    """Step 3: keep the list of survivors, then sign it; go on when as many clients as the threshold have signed the same list."""
    statement = survivors_statement(roster, sharers, survivors)
    if session.state.keep(SURVIVORS.of(session.round, session.moment["part"] or 0), statement) != statement:
        raise TwoLists(party=session.aggregator)
    session.send("consent", session.aggregator, signature=session.sign(SURVIVORS_DOMAIN, statement))
    table = session.receive("consents", session.aggregator)
    names = listed(session, table, survivors, roster.threshold)
    for name, signature in zip(names, session.values(table, "signature").to_pylist(), strict=True):
        if name != session.me:
            try:
                session.verify(name, signature, SURVIVORS_DOMAIN, statement)
            except SignatureRefused:
                raise TwoLists(f"{name} has not signed these survivors.", party=session.aggregator) from None


def _opened(session: Session, own: OwnKeys, roster: Roster, boxes: dict[str, bytes]) -> dict[str, bytes]:
    """The pairs of shares that this client's neighbours sealed to it.

    A neighbour's box that cannot be opened must not put this client out of the sum. Zeros stand for its shares: the aggregator
    finds that they do not fit, and goes on with those of others.
    """
    pairs = {}
    for name, box in boxes.items():
        try:
            pair = open_shares(own.seal, roster.keys[name].seal, box, roster.context(name, session.me), name)
            if len(pair) != 2 * SHARE_BYTES:
                raise ForeignShare(party=name)
        except ForeignShare as error:
            log.warning("%s", error)
            pair = bytes(2 * SHARE_BYTES)
        pairs[name] = pair
    return pairs


def _answer(session: Session, roster: Roster, survivors: Sequence[str], pairs: dict[str, bytes]) -> None:
    """Step 4: for each survivor send the share of its seed, for each other sharer the share of its mask key; never both."""
    names = [name for name in roster.names if name in pairs]
    shares = [pairs[name][:SHARE_BYTES] if name in survivors else pairs[name][SHARE_BYTES:] for name in names]
    session.send("unmask", session.aggregator, client=names, share=pa.array(shares, pa.binary(SHARE_BYTES)))
