"""Asking an index about a batch of people: blinded around the ring, matched under encryption, masked, decrypted, unmasked.

The asker sends H(id)^r; each lender counts the asker's quota, raises the point to its exponent, and tells the arbiter by a ticket
(an artifact that it signs, once in a run) how many questions it let pass. The asker takes r off again. The arbiter counts how often
this person was asked about, applies its own exponent, and adds the matching ciphertexts to the asker's encrypted mask. The
decryptor sees uniform values; the asker subtracts its mask.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from tombolo.fl_tasks.crypto import ristretto
from tombolo.fl_tasks.crypto.masks import mask_residues, residues_from_arrow, residues_to_arrow, unmask
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt_residues, encrypt, fixed_bytes
from tombolo.fl_tasks.learning.parameters import Encrypted
from tombolo.fl_tasks.protocols.lending_query import guards
from tombolo.fl_tasks.protocols.lending_query.customers import unpack
from tombolo.fl_tasks.protocols.lending_query.deposits import Deposits, token
from tombolo.fl_tasks.protocols.lending_query.errors import BadTicket
from tombolo.fl_tasks.protocols.lending_query.index import hash_ids
from tombolo.fl_tasks.protocols.lending_query.keys import Keeping, terms_of
from tombolo.fl_tasks.protocols.lending_query.supply import Supply
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import blame

_MOST_LOANS = 1 << 32
"""More open loans than a person has; what was decrypted wrongly is far beyond."""


@dataclass(frozen=True)
class Answer:
    """What all lenders together have on one person: open loans, and exposure in query.units."""

    count: int
    exposure: int


@dataclass(frozen=True)
class _Batch:
    """Questions on their way: a point and a commitment to a consent for each."""

    points: bytes
    consents: bytes

    @classmethod
    def of(cls, session: Session, table: pa.Table, sender: str) -> _Batch:
        with blame(sender):
            points = ristretto.points_from_arrow(session.values(table, "point"), session.threads)
            consents = fixed_bytes(session.values(table, "consent"), guards.DIGEST, BadTicket)
        if len(points) // ristretto.POINT_BYTES != len(consents) // guards.DIGEST:
            raise BadTicket("Columns differ in length.", party=sender)
        return cls(points, consents)

    def __len__(self) -> int:
        return len(self.consents) // guards.DIGEST

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.points).digest()

    def columns(self) -> dict[str, pa.Array]:
        count = len(self)
        consents = pa.FixedSizeBinaryArray.from_buffers(pa.binary(guards.DIGEST), count, [None, pa.py_buffer(self.consents)])
        return {"point": ristretto.points_to_arrow(self.points), "consent": consents}


def asker(session: Session, epoch: str, ids: Sequence[str], consents: bytes) -> list[Answer]:
    """The guest's side: ``ids`` are canonical and different, ``consents`` 32 bytes for each; returns answers in their order."""
    keeping = Keeping.of(session)
    about = guards.open_epoch(keeping, epoch, session.me)
    key, count = keeping.public_key(about.series), len(ids)
    stream, lenders = session.prf("blind").stream(), session.hosts
    blinds = [ristretto.random_scalar(stream) for _ in range(count)]
    blinded = _each(hash_ids(session, [one.encode() for one in ids]), blinds)
    session.send("blinded_question", lenders[0], **_Batch(blinded, consents).columns())
    masks = mask_residues(key, count, session.prf("mask").stream(key.key_id))
    hidden = encrypt(key, masks, session.pool)
    back = _Batch.of(session, session.receive("blinded_question", lenders[-1]), lenders[-1])
    if len(back) != count or back.consents != consents:
        raise BadTicket("The batch came back changed.", party=lenders[-1])
    bare = _Batch(_each(back.points, [ristretto.invert(one) for one in blinds]), consents)
    session.send("question", mask=hidden.to_arrow(), **bare.columns())
    decryptor = terms_of(session).decryptor
    answer = session.receive("masked_answer", decryptor)
    with blame(decryptor):
        masked = residues_from_arrow(key, session.values(answer, "sum"))
    if len(masked) != count:
        raise BadTicket(f"{len(masked)} answers to {count} questions.", party=decryptor)
    session.report(answers=count)
    found = [Answer(*unpack(value)) for value in unmask(key, masked, masks)]
    if not all(0 <= one.count <= _MOST_LOANS for one in found):
        raise BadTicket("An answer is larger than that of all lenders together can be.", party=decryptor)
    return found


def lender(session: Session, epoch: str, now: datetime) -> int:
    """A host's side: it counts, lets the batch pass, and says so to the arbiter; the decryptor decrypts. Returns how many."""
    keeping = Keeping.of(session)
    about = guards.open_epoch(keeping, epoch, session.me)
    lenders = session.hosts
    at = lenders.index(session.me)
    before = lenders[at - 1] if at else session.guest
    received = _Batch.of(session, session.receive("blinded_question", before), before)
    guards.admit(session, keeping, about, received.consents, now)
    raised = ristretto.exponentiate(received.points, keeping.exponent(about.series), session.threads)
    passed = _Batch(raised, received.consents)
    digests = {"received": received.digest, "passed": passed.digest, "consents": hashlib.sha256(received.consents).digest()}
    session.send("ticket", questions=len(received), **digests)
    session.send("blinded_question", lenders[at + 1] if at + 1 < len(lenders) else session.guest, **passed.columns())
    if session.me == terms_of(session).decryptor:
        _decrypt(session, keeping, about.series, len(received))
    session.report(questions=len(received))
    return len(received)


def arbiter(session: Session, epoch: str, now: datetime) -> int:
    """The helper's side: it checks tickets and counts persons, and answers under encryption. Returns how many questions."""
    keeping = Keeping.of(session)
    about = guards.open_epoch(keeping, epoch, session.me)
    layers = list(keeping.layers(epoch))
    guards.enough_lenders(Deposits(keeping, about.series).parties(), session)
    key = keeping.public_key(about.series)
    admitted = _tickets(session)
    table = session.receive("question", session.guest)
    asked = _Batch.of(session, table, session.guest)
    with blame(session.guest):
        masks = CipherVector.from_arrow(key, session.values(table, "mask"))
    if {len(asked), len(masks)} != {admitted.questions}:
        raise BadTicket(f"{len(asked)} questions, {admitted.questions} admitted.", party=session.guest)
    if hashlib.sha256(asked.consents).digest() != admitted.consents:
        raise BadTicket("The consents are not those that the lenders saw.", party=session.guest)
    guards.count_persons(session, keeping, about, ristretto.split(asked.points), now)
    raised = ristretto.exponentiate(asked.points, keeping.exponent(about.series), session.threads)
    tokens = [token(one) for one in ristretto.split(raised)]
    sums = [masks[at] for at in range(len(masks))]
    answered: set[tuple[int, str]] = set()
    for layer in layers:  # the newest deposit of a lender stands for a person
        for at, party, value in Deposits(keeping, layer.run).find(tokens, key):
            if (at, party) not in answered:
                answered.add((at, party))
                sums[at] = sums[at] + value
    supply = Supply(keeping, about.series, key)
    hidden = CipherVector.concatenate(sums).rerandomise_full(supply.take(session.run, len(sums), session.pool))
    session.send("masked_sum", terms_of(session).decryptor, sum=hidden.to_arrow())
    supply.clear(session.run)
    supply.fill(session.pool)
    session.report(questions=len(sums))
    return len(sums)


@dataclass(frozen=True)
class _Admitted:
    questions: int
    consents: bytes


def _tickets(session: Session) -> _Admitted:
    """What all lenders let pass, alike and one after the other. Raises :class:`BadTicket`."""
    found: list[_Admitted] = []
    passed: bytes | None = None
    for party in session.hosts:
        table = session.receive("ticket", party)
        said = {name: session.scalar(table, name) for name in ("questions", "received", "passed", "consents")}
        if passed is not None and said["received"] != passed:
            raise BadTicket("The batch was changed before it came to this lender.", party=party)
        passed = said["passed"]
        found.append(_Admitted(int(said["questions"]), said["consents"]))
        if found[-1] != found[0]:
            raise BadTicket("It let another batch pass than the others.", party=party)
    return found[0]


def _decrypt(session: Session, keeping: Keeping, series: str, count: int) -> None:
    """The decryptor's step: uniform residues, as far as it can see."""
    sender = session.arbiter
    assert sender is not None
    private = keeping.private_key(series, session.parameters(Encrypted).key_bits)
    table = session.receive("masked_sum", sender)
    with blame(sender):
        masked = CipherVector.from_arrow(private.public, session.values(table, "sum"))
    if len(masked) != count:
        raise BadTicket(f"{len(masked)} sums for {count} questions.", party=sender)
    pool = session.holder_pool(private)
    session.send("masked_answer", sum=residues_to_arrow(private.public, decrypt_residues(private, masked, pool)))


def _each(points: bytes, scalars: Sequence[bytes]) -> bytes:
    """Every point raised to a scalar of its own."""
    return b"".join([ristretto.exponentiate(one, by) for one, by in zip(ristretto.split(points), scalars, strict=True)])
