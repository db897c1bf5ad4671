"""Asking an index about a batch of people: blinded around the ring, matched under encryption, masked, decrypted, unmasked.

The asker sends H(id)^r; each lender raises it to its exponent of the epoch and, in a second column, to one that lasts over
epochs, counts the asker's quota, and tells the arbiter by a ticket how many questions it let pass. The asker takes r off again.
The arbiter applies its own two exponents, counts how often this person was asked about, and adds the matching ciphertexts to the
asker's encrypted mask. The decryptor sees uniform values; the asker subtracts its mask.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from fl_tasks.crypto import ristretto
from fl_tasks.crypto.masks import mask_residues, residues_from_arrow, residues_to_arrow, unmask
from fl_tasks.crypto.vector import CipherVector, decrypt_residues, encrypt, fixed_bytes, fresh_zeros
from fl_tasks.lending import guards
from fl_tasks.lending.customers import unpack
from fl_tasks.lending.deposits import Deposits, token
from fl_tasks.lending.errors import BadTicket
from fl_tasks.lending.index import hash_ids
from fl_tasks.lending.keys import Keeping
from fl_tasks.session import Session

_DIGEST = 32


@dataclass(frozen=True)
class Answer:
    """What all lenders together have on one person: open loans, and exposure in query.units."""

    count: int
    exposure: int


@dataclass(frozen=True)
class _Batch:
    """Blinded questions on their way: points of the epoch, points over epochs, and commitments to consents."""

    points: bytes
    persons: bytes
    consents: bytes

    @classmethod
    def of(cls, session: Session, table: pa.Table) -> _Batch:
        points, persons = (
            ristretto.points_from_arrow(session.values(table, name), session.threads) for name in ("point", "person")
        )
        return cls(points, persons, fixed_bytes(session.values(table, "consent"), _DIGEST, BadTicket))

    def __len__(self) -> int:
        return len(self.consents) // _DIGEST

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.points + self.persons).digest()

    def send(self, session: Session, to: str) -> None:
        points, persons = ristretto.points_to_arrow(self.points), ristretto.points_to_arrow(self.persons)
        session.send("blinded_question", to, point=points, person=persons, consent=_digests_to_arrow(self.consents))


def asker(session: Session, epoch: str, ids: Sequence[str], consents: bytes) -> list[Answer]:
    """The guest's side: ``ids`` are canonical and different, ``consents`` 32 bytes for each; returns answers in their order."""
    keeping = Keeping.of(session)
    about = guards.open_epoch(keeping, epoch, session.me)
    key, count = keeping.public_key(about.series), len(ids)
    stream, lenders = session.prf("blind").stream(), session.hosts
    blinds = [ristretto.random_scalar(stream) for _ in range(count)]
    blinded = _each(hash_ids(session, [one.encode() for one in ids]), blinds)
    _Batch(blinded, blinded, consents).send(session, lenders[0])
    masks = mask_residues(key, count, session.prf("mask").stream(key.key_id))
    hidden = encrypt(key, masks, session.pool)
    back = _Batch.of(session, session.receive("blinded_question", lenders[-1]))
    if len(back) != count or len(back.points) != len(blinded) or back.consents != consents:
        raise BadTicket("The batch came back changed.", party=lenders[-1])
    undo = [ristretto.invert(one) for one in blinds]
    points, persons = (ristretto.points_to_arrow(_each(one, undo)) for one in (back.points, back.persons))
    session.send("question", point=points, person=persons, mask=hidden.to_arrow(), consent=_digests_to_arrow(consents))
    decryptor = _decryptor(session)
    masked = residues_from_arrow(key, session.values(session.receive("masked_answer", decryptor), "sum"))
    if len(masked) != count:
        raise BadTicket(f"{len(masked)} answers to {count} questions.", party=decryptor)
    session.report(answers=count)
    return [Answer(*unpack(value)) for value in unmask(key, masked, masks)]


def lender(session: Session, epoch: str) -> int:
    """A host's side: it counts, lets the batch pass, and says so to the arbiter; the decryptor decrypts. Returns how many."""
    keeping = Keeping.of(session)
    about = guards.open_epoch(keeping, epoch, session.me)
    lenders = session.hosts
    at = lenders.index(session.me)
    before = lenders[at - 1] if at else session.guest
    received = _Batch.of(session, session.receive("blinded_question", before))
    if len(received.points) != len(received.persons) or len(received.points) != len(received) * ristretto.POINT_BYTES:
        raise BadTicket("Columns differ in length.", party=before)
    guards.admit(session, keeping, epoch, len(received), received.consents)
    passed = _Batch(
        ristretto.exponentiate(received.points, keeping.exponent(about.series), session.threads),
        ristretto.exponentiate(received.persons, keeping.person_exponent(), session.threads),
        received.consents,
    )
    digests = {"received": received.digest, "passed": passed.digest, "consents": hashlib.sha256(received.consents).digest()}
    session.send("ticket", questions=len(received), **digests)
    passed.send(session, lenders[at + 1] if at + 1 < len(lenders) else session.guest)
    if session.me == _decryptor(session):
        _decrypt(session, keeping, about.series, len(received))
    session.report(questions=len(received))
    return len(received)


def arbiter(session: Session, epoch: str, now: datetime) -> int:
    """The helper's side: it checks tickets and counts persons, and answers under encryption. Returns how many questions."""
    keeping = Keeping.of(session)
    about = guards.open_epoch(keeping, epoch, session.me)
    layers = list(keeping.layers(epoch))
    guards.enough_lenders(Deposits(keeping, layers[-1].run).parties(), session)
    key = keeping.public_key(about.series)
    fresh = fresh_zeros(key, guards.expected(session), session.pool)
    admitted = _tickets(session)
    table = session.receive("question", session.guest)
    asked = _Batch.of(session, table)
    masks = CipherVector.from_arrow(key, session.values(table, "mask"))
    if {len(asked), len(masks), len(ristretto.split(asked.points)), len(ristretto.split(asked.persons))} != {admitted.questions}:
        raise BadTicket(f"{len(asked)} questions, {admitted.questions} admitted.", party=session.guest)
    if hashlib.sha256(asked.consents).digest() != admitted.consents:
        raise BadTicket("The consents are not those that the lenders saw.", party=session.guest)
    persons = [token(one) for one in ristretto.split(ristretto.exponentiate(asked.persons, keeping.person_exponent()))]
    guards.count_persons(session, keeping, epoch, persons, now)
    tokens = [token(one) for one in ristretto.split(ristretto.exponentiate(asked.points, keeping.exponent(about.series)))]
    sums = [masks[at] for at in range(len(masks))]
    answered: set[tuple[int, str]] = set()
    for layer in layers:  # the newest deposit of a lender stands for a person
        for at, party, value in Deposits(keeping, layer.run).find(tokens, key):
            if (at, party) not in answered:
                answered.add((at, party))
                sums[at] = sums[at] + value
    more = fresh_zeros(key, max(0, len(sums) - len(fresh)), session.pool)
    hidden = CipherVector.concatenate(sums).rerandomise_full(CipherVector.concatenate([fresh, more])[: len(sums)])
    session.send("masked_sum", _decryptor(session), sum=hidden.to_arrow())
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
    private = keeping.private_key(series, int(session.params["key_bits"]))
    masked = CipherVector.from_arrow(private.public, session.values(session.receive("masked_sum", sender), "sum"))
    if len(masked) != count:
        raise BadTicket(f"{len(masked)} sums for {count} questions.", party=sender)
    pool = session.holder_pool(private)
    session.send("masked_answer", sum=residues_to_arrow(private.public, decrypt_residues(private, masked, pool)))


def _decryptor(session: Session) -> str:
    query = session.terms.task.query
    assert query is not None
    return query.decryptor


def _each(points: bytes, scalars: Sequence[bytes]) -> bytes:
    """Every point raised to a scalar of its own."""
    return b"".join([ristretto.exponentiate(one, by) for one, by in zip(ristretto.split(points), scalars, strict=True)])


def _digests_to_arrow(digests: bytes) -> pa.FixedSizeBinaryArray:
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(_DIGEST), len(digests) // _DIGEST, [None, pa.py_buffer(digests)])
