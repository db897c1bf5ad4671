"""Ask an index about a batch of people.

The asker sends H(id)^r around the ring of lenders. Each lender counts the questions for the quota of the asker, and raises each
point to its exponent. By a ticket (an artifact that it signs, once in a run) it tells the arbiter how many questions it admitted.
The asker removes r again. The arbiter counts how often each person was asked about, applies its own exponent, and adds the matching
ciphertexts to the encrypted mask of the asker. The decryptor decrypts, but sees uniform values only. The asker subtracts its mask.
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
from tombolo.fl_tasks.protocols.lending_query.terms import MOST_QUESTIONS
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import blame

_MOST_LOANS = 1 << 32
"""More open loans than a person can have. A wrong decryption gives a far larger number."""


@dataclass(frozen=True)
class Answer:
    """The sum over all lenders for one person: the number of open loans, and the exposure in units of ``query.unit``."""

    count: int
    exposure: int


@dataclass(frozen=True)
class _Batch:
    """The questions of one message: for each a point, and a commitment to its consent receipt."""

    points: bytes
    consents: bytes

    @classmethod
    def of(cls, session: Session, table: pa.Table, sender: str) -> _Batch:
        with blame(sender):
            points = ristretto.points_from_arrow(session.values(table, "point"), session.threads)
            consents = fixed_bytes(session.values(table, "consent"), guards.DIGEST, BadTicket)
        if len(points) // ristretto.POINT_BYTES != len(consents) // guards.DIGEST:
            raise BadTicket("The columns point and consent differ in length.", party=sender)
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
    """The side of the guest. ``ids`` are canonical, each once; ``consents`` has 32 bytes for each. Answers are in this order."""
    keeping = Keeping.of(session)
    about = guards.open_epoch(keeping, epoch, session.me)
    key, count = keeping.public_key(about.series), len(ids)
    stream, lenders = session.prf("blind").stream(), session.hosts
    blinds = [ristretto.random_scalar(stream) for _ in range(count)]
    blinded = _each(hash_ids(session, [person.encode() for person in ids]), blinds)
    session.send("blinded_question", lenders[0], **_Batch(blinded, consents).columns())
    masks = mask_residues(key, count, session.prf("mask").stream(key.key_id))
    hidden = encrypt(key, masks, session.pool)
    returned = _Batch.of(session, session.receive("blinded_question", lenders[-1], count), lenders[-1])
    if len(returned) != count or returned.consents != consents:
        raise BadTicket("The batch of questions came back changed.", party=lenders[-1])
    unblinded = _Batch(_each(returned.points, [ristretto.invert(blind) for blind in blinds]), consents)
    session.send("question", mask=hidden.to_arrow(), **unblinded.columns())
    decryptor = terms_of(session).decryptor
    table = session.receive("masked_answer", decryptor, count)
    with blame(decryptor):
        masked = residues_from_arrow(key, session.values(table, "sum"))
    if len(masked) != count:
        raise BadTicket(f"{len(masked)} answers to {count} questions.", party=decryptor)
    session.report(answers=count)
    answers = [Answer(*unpack(value)) for value in unmask(key, masked, masks)]
    if not all(0 <= answer.count <= _MOST_LOANS for answer in answers):
        raise BadTicket("An answer is larger than the sum of all lenders can be.", party=decryptor)
    return answers


def lender(session: Session, epoch: str, now: datetime) -> int:
    """The side of a host: it counts, passes the batch on, sends a ticket; the decryptor decrypts. Returns how many questions."""
    keeping = Keeping.of(session)
    about = guards.open_epoch(keeping, epoch, session.me)
    lenders = session.hosts
    at = lenders.index(session.me)
    before = lenders[at - 1] if at else session.guest
    received = _Batch.of(session, session.receive("blinded_question", before, MOST_QUESTIONS), before)
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
    """The side of the arbiter: it checks tickets, counts persons, and adds up ciphertexts. Returns how many questions."""
    keeping = Keeping.of(session)
    about = guards.open_epoch(keeping, epoch, session.me)
    layers = list(keeping.layers(epoch))
    guards.enough_lenders(Deposits(keeping, about.series).parties(), session)
    key = keeping.public_key(about.series)
    admitted = _tickets(session)
    table = session.receive("question", session.guest, admitted.questions)
    asked = _Batch.of(session, table, session.guest)
    with blame(session.guest):
        masks = CipherVector.from_arrow(key, session.values(table, "mask"))
    if {len(asked), len(masks)} != {admitted.questions}:
        raise BadTicket(
            f"{len(asked)} questions came with {len(masks)} masks; the lenders admitted {admitted.questions} questions.",
            party=session.guest,
        )
    if hashlib.sha256(asked.consents).digest() != admitted.consents:
        raise BadTicket("The consents differ from the consents that the lenders received.", party=session.guest)
    guards.count_persons(session, keeping, about, ristretto.split(asked.points), now)
    raised = ristretto.exponentiate(asked.points, keeping.exponent(about.series), session.threads)
    tokens = [token(point) for point in ristretto.split(raised)]
    sums = [masks[at] for at in range(len(masks))]
    answered: set[tuple[int, str]] = set()
    for layer in layers:  # the newest deposit of a lender for a person counts
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
    """What all lenders admitted. Tickets must agree; each lender must receive what the last one passed on. Raises BadTicket."""
    tickets: list[_Admitted] = []
    passed: bytes | None = None
    for party in session.hosts:
        table = session.receive("ticket", party)
        stated = {name: session.scalar(table, name) for name in ("questions", "received", "passed", "consents")}
        if passed is not None and stated["received"] != passed:
            raise BadTicket("The batch was changed before it came to this lender.", party=party)
        passed = stated["passed"]
        tickets.append(_Admitted(int(stated["questions"]), stated["consents"]))
        if tickets[-1] != tickets[0]:
            raise BadTicket("This lender admitted another batch than the other lenders.", party=party)
    return tickets[0]


def _decrypt(session: Session, keeping: Keeping, series: str, count: int) -> None:
    """The step of the decryptor: it sees uniform residues only."""
    sender = session.arbiter
    assert sender is not None
    private = keeping.private_key(series, session.parameters(Encrypted).key_bits)
    table = session.receive("masked_sum", sender, count)
    with blame(sender):
        masked = CipherVector.from_arrow(private.public, session.values(table, "sum"))
    if len(masked) != count:
        raise BadTicket(f"{len(masked)} sums for {count} questions.", party=sender)
    pool = session.holder_pool(private)
    session.send("masked_answer", sum=residues_to_arrow(private.public, decrypt_residues(private, masked, pool)))


def _each(points: bytes, scalars: Sequence[bytes]) -> bytes:
    """Raise each point to the scalar at the same position."""
    return b"".join([ristretto.exponentiate(point, scalar) for point, scalar in zip(ristretto.split(points), scalars, strict=True)])
