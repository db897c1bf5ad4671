"""The aggregator's part in one secure sum: it closes every step, passes on what clients send each other, and learns the sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np
import pyarrow as pa

from tombolo.fl_tasks.crypto.errors import WrongShape
from tombolo.fl_tasks.learning.horizontal.secagg.keys import ForeignKey, ForeignShare, PublicKeys, fits, mask_seed, seed_digest
from tombolo.fl_tasks.learning.horizontal.secagg.lists import SURVIVORS_DOMAIN, Roster, enough, read_keys, survivors_statement
from tombolo.fl_tasks.learning.horizontal.secagg.masking import Words, add_mask, pair_sign
from tombolo.fl_tasks.learning.horizontal.secagg.messages import BelowThreshold, ForeignList
from tombolo.fl_tasks.learning.horizontal.secagg.shamir import SHARE_BYTES, combine
from tombolo.fl_tasks.learning.horizontal.state import CLOSED
from tombolo.fl_tasks.runtime.session import Session, log
from tombolo.storage.errors import CodedError

_MOST_TRIES = 1000


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

    A step ends when all clients that it waits for are in, or after ``closing.seconds``. A client that sends something wrong counts
    as silent in that step. Raises BelowThreshold, ForeignShare, what is wrong with a message if too few others are left, or what
    waiting raises.
    """
    roster = _keys(session, closing)
    sharers = _shares(session, roster, closing)

    def vector(name: str, table: pa.Table) -> Words:
        words: Words = session.values(table, "value").to_numpy()
        if len(words) != count:
            raise WrongShape(f"{len(words)} values of a sum over {count}.", party=name)
        return words

    survivors = _close(session, "masked", sharers, closing, vector, count)
    roster.require(survivors, session.me)
    for name in sharers:
        session.send("survivors", name, client=survivors)
    total = np.zeros(count, dtype=np.uint64)
    for name in survivors:
        total += vector(name, session.receive("masked", name, count))
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


def _close(
    session: Session,
    message: str,
    among: Sequence[str],
    closing: Closing,
    read: Callable[[str, pa.Table], object],
    rows: int | None = None,
    first: bool = False,
) -> list[str]:
    """The clients that are in after a step, with messages that ``read`` takes. They are kept before they are sent to anybody.

    The caller reads the messages of these clients again, because the list that was kept first decides. Raises BelowThreshold, or,
    if too few are left because a message was wrong, what was wrong with it.
    """
    wrong: list[CodedError] = []
    step = CLOSED.of(session.round, session.moment["part"] or 0, message)
    names = session.state.get(step)
    if names is None:
        expected = [name for name in among if name in closing.expected] if first else among
        session.gather(message, expected if len(expected) >= closing.threshold else among, closing.seconds)
        there = [name for name in session.gather(message, among, 0.0) if _reads(session, message, name, read, rows, wrong)]
        names = session.state.keep(step, there)
    if wrong and len(names) < closing.threshold:
        raise wrong[0]
    enough(names, closing.threshold, session.me)
    return names


def _reads(
    session: Session,
    message: str,
    name: str,
    read: Callable[[str, pa.Table], object],
    rows: int | None,
    wrong: list[CodedError],
) -> bool:
    """Whether a client has sent something that ``read`` takes. What is wrong is logged with the client's name."""
    try:
        table = session.peek(message, name, session.round, rows)
        if table is not None:
            read(name, table)
        return table is not None
    except CodedError as error:
        if error.party != name:
            raise
        log.warning("%s", error)
        wrong.append(error)
        return False


def rostered(session: Session, round: int) -> list[str]:
    """The clients that were in time for this part's sum of a round, even if they dropped out; empty if there was no such sum."""
    return session.state.get(CLOSED.of(round, session.moment["part"] or 0, "advertise")) or []


def _keys(session: Session, closing: Closing) -> Roster:
    """Step 0: signed keys, passed on to all clients of the agreement, so that late clients learn that they are out."""
    shown: dict[str, tuple[bytes, bytes]] = {}
    keys: dict[str, PublicKeys] = {}

    def read(name: str, table: pa.Table) -> None:
        joined, signature = session.scalar(table, "keys"), session.scalar(table, "signature")
        theirs = read_keys(session, name, joined, signature)
        taken = {key for other, public in keys.items() if other != name for key in (public.seal, public.mask)}
        if taken & {theirs.seal, theirs.mask}:
            raise ForeignKey("Another client has the same key.", party=name)
        keys[name], shown[name] = theirs, (joined, signature)

    names = _close(session, "advertise", session.clients, closing, read, first=True)
    for name in names:
        read(name, session.receive("advertise", name))
    session.send("roster", client=names, keys=[shown[name][0] for name in names], signature=[shown[name][1] for name in names])
    return Roster.of(session, {name: keys[name] for name in names}, closing.threshold)


def _shares(session: Session, roster: Roster, closing: Closing) -> list[str]:
    """Step 1: sealed shares, each passed on to the neighbour that it is for."""
    boxes: dict[tuple[str, str], bytes] = {}

    def read(name: str, table: pa.Table) -> None:
        sealed, others = session.values(table, "box").to_pylist(), roster.neighbours(name, roster.names)
        if len(sealed) != len(others):
            raise ForeignShare(f"{len(sealed)} sealed shares for {len(others)} neighbours.", party=name)
        boxes.update({(name, other): box for other, box in zip(others, sealed, strict=True)})

    sharers = _close(session, "shares", roster.names, closing, read)
    roster.require(sharers, session.me)
    for name in sharers:
        read(name, session.receive("shares", name))
    for name in roster.names:
        mine = [boxes.get((other, name), b"") if name in sharers else b"" for other in sharers]
        session.send("inbox", name, client=sharers, box=pa.array(mine, pa.binary()))
    return sharers


def _consents(session: Session, roster: Roster, sharers: Sequence[str], survivors: Sequence[str], closing: Closing) -> None:
    """Step 3: signatures on the list of survivors, at least as many as the threshold, verified and shown to all."""
    statement = survivors_statement(roster, sharers, survivors)
    signatures: dict[str, bytes] = {}

    def read(name: str, table: pa.Table) -> None:
        signature = session.scalar(table, "signature")
        session.verify(name, signature, SURVIVORS_DOMAIN, statement)
        signatures[name] = signature

    signers = _close(session, "consent", survivors, closing, read)
    for name in signers:
        read(name, session.receive("consent", name))
    for name in survivors:
        session.send("consents", name, client=signers, signature=[signatures[signer] for signer in signers])


def _secrets(
    session: Session, roster: Roster, sharers: Sequence[str], survivors: Sequence[str], closing: Closing
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Step 4: the seeds of the survivors' own masks, and the mask keys of those who shared but did not survive."""
    shares: dict[str, dict[int, bytes]] = {name: {} for name in sharers}

    def read(holder: str, table: pa.Table) -> None:
        held = [name for name in roster.holders(holder) if name in shares]
        if session.values(table, "client").to_pylist() != held:
            raise ForeignList("The shares are not those that were asked for.", party=holder)
        if session.values(table, "share").type.byte_width != SHARE_BYTES:
            raise ForeignShare(party=holder)
        for name, share in zip(held, session.values(table, "share").to_pylist(), strict=True):
            shares[name][roster.places[holder]] = share

    for name in _close(session, "unmask", survivors, closing, read):
        read(name, session.receive("unmask", name))
    suspects: set[int] = set()

    def recovered(name: str, fits_its_owner: Callable[[bytes], bool]) -> bytes:
        if len(shares[name]) < roster.graph.threshold:
            raise BelowThreshold(f"{len(shares[name])} of {roster.graph.threshold} shares in a neighbourhood.", party=session.me)
        secret, complete = _combined(shares[name], roster.graph.threshold, fits_its_owner, suspects)
        if secret is None:  # if many choices were left out, several holders may be wrong instead
            raise ForeignShare(f"The shares of {name}'s secret do not fit together.", party=name if complete else None)
        return secret

    seeds = {u: recovered(u, lambda seed, u=u: seed_digest(seed) == roster.keys[u].seed_digest) for u in survivors}  # type: ignore[misc]
    gone = [name for name in sharers if name not in survivors]
    return seeds, {u: recovered(u, lambda key, u=u: fits(key, roster.keys[u])) for u in gone}  # type: ignore[misc]


def _combined(
    shares: Mapping[int, bytes], threshold: int, fits_its_owner: Callable[[bytes], bool], suspects: set[int]
) -> tuple[bytes | None, bool]:
    """The secret, even if some of the shares are wrong (else None), and whether all choices of shares were tried.

    It leaves out no share, then one, then two, and so on. Holders that were left out at last are ``suspects``, and come last next
    time.
    """
    places = sorted(shares, key=lambda place: (place in suspects, place))
    spare = range(len(places) - threshold + 1)
    choices = ((number, out) for number in spare for out in combinations(places[: threshold + number - 1], number))
    tries = 0
    for number, out in islice(choices, _MOST_TRIES):
        tries += 1
        chosen = [place for place in places[: threshold + number] if place not in out]
        secret = combine({place: shares[place] for place in chosen})
        if secret is not None and fits_its_owner(secret):
            suspects.update(out)
            return secret, True
    return None, tries < _MOST_TRIES
