"""Build an index: the customers of the lenders become points under the exponents of all lenders, which the arbiter keeps.

A point is H(id)^(k_1 k_2 ... k_L). A lender blinds its list with a one-time exponent and sends it around the ring of all lenders,
each of which applies its own exponent. Then the lender removes the blinding, and deposits the points with encrypted values. The
arbiter raises the points to its own exponent. It does so last and always. No lender and no asker ever has the values that the
arbiter matches.
"""

from __future__ import annotations

from datetime import datetime

from tombolo.fl_tasks.crypto import ristretto
from tombolo.fl_tasks.crypto.paillier import PublicKey
from tombolo.fl_tasks.crypto.vector import CipherVector, encrypt
from tombolo.fl_tasks.learning.parameters import Encrypted
from tombolo.fl_tasks.protocols.lending_query import carry
from tombolo.fl_tasks.protocols.lending_query.customers import Customers, Remembered, names_of
from tombolo.fl_tasks.protocols.lending_query.deposits import Deposits
from tombolo.fl_tasks.protocols.lending_query.errors import BadDeposit, TooFewLenders
from tombolo.fl_tasks.protocols.lending_query.keys import Epoch, Keeping, terms_of
from tombolo.fl_tasks.protocols.lending_query.supply import Supply
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import blame
from tombolo.storage.roles import HOST

DOMAIN = "tombolo/lending/1/"
_POINT = ristretto.POINT_BYTES


def hash_ids(session: Session, ids: list[bytes]) -> bytes:
    """The points of ids: the same at all parties of an agreement, and different in every other agreement."""
    return ristretto.hash_all(ids, DOMAIN + session.terms.name, session.threads)


def lender(session: Session, customers: Customers, base: str | None, at: str, vault: bytes, now: datetime) -> Epoch:
    """The side of a host. ``vault`` is the key of the names of its customers; ``at`` is when the run was proposed."""
    keeping, query = Keeping.of(session), terms_of(session)
    series = keeping.series(session.run, base)
    key = _decryption_key(session, keeping, series)
    remembered = Remembered(keeping)
    before = remembered.load(base)
    current = dict(zip(names_of(customers.ids, vault), zip(customers.ids, customers.values.tolist(), strict=True), strict=True))
    new = [name for name in current if name not in before]
    points, dummies = _pass_ring(session, keeping.exponent(series), [current[name][0] for name in new], query.padding)
    changed = {name: (point, current[name][1]) for name, point in zip(new, points, strict=True)}
    for name, (point, value) in before.items():  # a former customer counts as a customer without loans
        latest = current[name][1] if name in current else 0
        if latest != value:
            changed[name] = point, latest
    deposited = {**dict.fromkeys(dummies, 0), **dict(changed.values())}
    rest = [(point, value) for name, (point, value) in before.items() if name not in changed]
    deposited.update(_refreshed(session, rest, -len(deposited) % query.padding))
    _deposit(session, deposited, key, query.padding)
    remembered.store(session.run, changed)
    if base is None:
        carry.lender(session, keeping, series, now)
    return _ready(session, keeping, series, base, at)


def guest(session: Session, base: str | None, at: str) -> Epoch:
    """The side of the asker: it receives the public key of the decryptor, and the message that the index is ready."""
    keeping = Keeping.of(session)
    series = keeping.series(session.run, base)
    _decryption_key(session, keeping, series)
    return _ready(session, keeping, series, base, at)


def arbiter(session: Session, base: str | None, at: str, now: datetime) -> Epoch:
    """The side of the arbiter: it keeps the deposits of all lenders. It cannot decrypt any of them."""
    keeping, query = Keeping.of(session), terms_of(session)
    series = keeping.series(session.run, base)
    key = _decryption_key(session, keeping, series)
    exponent, deposits = keeping.exponent(series), Deposits(keeping, session.run)
    session.enter(len(session.hosts) + 1)
    cooling = None if base is not None else carry.begin(session, keeping, now)
    longest = session.terms.alignment.maximum_ids + query.padding
    for party in session.hosts:
        table = session.receive("deposit", party, longest)
        with blame(party):
            points = ristretto.points_from_arrow(session.values(table, "point"), session.threads)
            values = CipherVector.from_arrow(key, session.values(table, "value"))
        listed = ristretto.split(points)
        if not listed or len(listed) % query.padding or len(set(listed)) != len(listed):
            raise BadDeposit(f"{len(listed)} entries: not a multiple of {query.padding}, or some are equal.", party=party)
        deposits.store(party, ristretto.exponentiate(points, exponent, session.threads), values)
        session.report(lender=party, entries=len(listed))
    Supply(keeping, series, key).fill(session.pool)
    if cooling is not None:
        carry.finish(session, keeping, series, cooling, now)
    session.send("index_ready", lenders=len(session.hosts))
    # last: a party that has kept the index does not run these steps again
    return keeping.finished(Epoch(session.run, series, base, at, len(session.hosts)))


def _decryption_key(session: Session, keeping: Keeping, series: str) -> PublicKey:
    """The public key of the decryptor: made or received here, and kept for the series."""
    query = terms_of(session)
    bits = session.parameters(Encrypted).key_bits
    if session.me == query.decryptor:
        key = keeping.private_key(series, bits).public
        session.send("decryption_key", key=key.to_bytes())
    else:
        sent = session.scalar(session.receive("decryption_key", query.decryptor), "key")
        with blame(query.decryptor):
            key = PublicKey.from_bytes(sent, session.shortest_key)
        if key.bits < bits:
            raise BadDeposit(f"The key has {key.bits} bits instead of {bits}.", party=query.decryptor)
    keeping.keep_public(series, key)
    return key


def _pass_ring(session: Session, exponent: bytes, ids: list[str], padding: int) -> tuple[list[bytes], list[bytes]]:
    """Points under the exponents of all lenders: those of ``ids``, in this order, and those of the dummies that pad the list."""
    lenders = session.hosts
    me, count = lenders.index(session.me), len(lenders)
    noise, blind = session.prf("padding").stream(), ristretto.random_scalar(session.prf("blind").stream())
    items = [customer.encode() for customer in ids]
    items += [noise.bytes(32) for _ in range(-len(ids) % padding or (0 if ids else padding))]
    order = session.prf("order").stream().permutation(len(items))
    points = hash_ids(session, [items[at] for at in order])
    points = ristretto.exponentiate(ristretto.exponentiate(points, exponent, session.threads), blind, session.threads)
    longest = session.terms.alignment.maximum_ids + padding
    for hop in range(1, count + 1):
        session.enter(hop)
        session.send("customer_points", lenders[(me + 1) % count], point=ristretto.points_to_arrow(points))
        before = lenders[me - 1]
        table = session.receive("customer_points", before, longest)
        with blame(before):
            points = ristretto.points_from_arrow(session.values(table, "point"), session.threads)
        listed = ristretto.split(points)
        if not listed or len(listed) % padding or len(set(listed)) != len(listed) or (hop == count and len(listed) != len(items)):
            raise BadDeposit(f"{len(listed)} points at hop {hop}: a wrong number, or some are equal.", party=before)
        if hop < count:
            points = ristretto.exponentiate(points, exponent, session.threads)
    session.enter(count + 1)
    unblinded = ristretto.split(ristretto.exponentiate(points, ristretto.invert(blind), session.threads))
    restored = [b""] * len(items)
    for at, point in zip(order.tolist(), unblinded, strict=True):
        restored[at] = point
    return restored[: len(ids)], restored[len(ids) :]


def _refreshed(session: Session, rest: list[tuple[bytes, int]], count: int) -> dict[bytes, int]:
    """``count`` unchanged entries that pad the deposit; random points if there are too few of them."""
    noise = session.prf("refresh").stream()
    drawn = [rest[at] for at in noise.permutation(len(rest))[:count]] if rest else []
    fresh = ristretto.hash_all([noise.bytes(32) for _ in range(count - len(drawn))], DOMAIN + "nobody")
    return {**dict(drawn), **dict.fromkeys(ristretto.split(fresh), 0)}


def _deposit(session: Session, entries: dict[bytes, int], key: PublicKey, padding: int) -> None:
    """Send the entries sorted by their points, so that the order says nothing about the table."""
    assert entries and len(entries) % padding == 0
    points = sorted(entries)
    values = encrypt(key, [int(entries[point]) for point in points], session.pool)
    session.send("deposit", point=ristretto.points_to_arrow(b"".join(points)), value=values.to_arrow())


def _ready(session: Session, keeping: Keeping, series: str, base: str | None, at: str) -> Epoch:
    session.enter(len(session.hosts) + 1)
    assert session.arbiter is not None
    hosts = sum(role == HOST for role in session.roles.values())
    lenders = int(session.scalar(session.receive("index_ready", session.arbiter), "lenders", 0, hosts))
    if lenders < hosts:
        raise TooFewLenders(f"There are {lenders} lenders in the index, of {hosts}.", party=session.arbiter)
    return keeping.finished(Epoch(session.run, series, base, at, lenders))
