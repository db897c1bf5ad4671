"""Contributions in horizontal agreements: by the number of training rows of each client.

No party may see a client's update or score, so that the value of a coalition without one client cannot be computed: the difference
of two sums, with and without the client, would be the client's own value. Contributions are therefore by volume. Each client signs
its number of rows and sends it to all. The aggregator lists the signed numbers that arrived in time, so that all parties use the
same ones. Each client compares the list with the numbers that it received itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tombolo.fl_tasks.incentives.state import COUNTED, TWO_COUNTS, WRONG_COUNT
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.canonical import canonical
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import SignatureRefused
from tombolo.storage.meters import SIZE
from tombolo.storage.roles import AGGREGATOR, CLIENT, MOST_PARTIES
from tombolo.storage.schema import Disclosed, Message, MessageSet, Public

_DOMAIN = "row count"
_MOST_ROWS = 1 << 40
_SIGNATURE = Public("binary", "the client's signature over its number of rows")
_REASON = "contributions are shares of the data"

MESSAGES = MessageSet(
    "volume",
    Message(
        "row_count",
        CLIENT,
        (CLIENT, AGGREGATOR),
        {"rows": Disclosed("int64", _REASON, "one count per run", SIZE, most=_MOST_ROWS), "signature": _SIGNATURE},
        learns="how many training rows the client has",
        step="0",
        limit="one count; sent only if the terms pay for contributions",
    ),
    Message(
        "row_counts",
        AGGREGATOR,
        CLIENT,
        {
            "client": Public("string", "which clients are paid for their rows"),
            "rows": Disclosed("int64", _REASON, "one count per client and run", SIZE, most=_MOST_ROWS),
            "signature": _SIGNATURE,
        },
        learns="how many training rows each client has, which it knows already",
        step="1",
        limit="only the counts that the clients have sent to all themselves",
        rows=MOST_PARTIES,
    ),
)


class ForeignCounts(CodedError):
    code = "TMB-REWARD-005"
    cause = (
        "The aggregator's list of row counts is wrong: it has unknown or repeated clients, or a count that its client did not sign."
    )
    remedy = "The list is not used for rewards. Check that all parties run the same version of Tombolo; if so, ask the aggregator."


class TwoCounts(CodedError):
    code = "TMB-REWARD-006"
    cause = "A client has signed different numbers of training rows for different parties."
    remedy = "The run is settled with the number in the aggregator's list. Ask the client; both signed numbers are kept as proof."


class NotCounted(CodedError):
    code = "TMB-REWARD-007"
    cause = "The row count of this client is not in the aggregator's list, so that this client gets no reward for its rows."
    remedy = "If this client sent its count within task.horizontal.step_seconds, ask the aggregator. The store shows the time."


class BadCount(CodedError):
    code = "TMB-REWARD-008"
    cause = "No client has reported training rows, so that nobody can be paid for them."
    remedy = "Read the record of the run: it names the clients whose counts were wrong. Ask them, and start a new run."


def agree_on_rows(session: Session, own: int | None) -> dict[str, int]:
    """The number of training rows of each client that sent it in time. ``own`` is this client's number (None at the aggregator).

    The result is the same at every party and in every replay. Raises :class:`ForeignCounts`, :class:`BadCount` or the errors of
    waiting. If a client sent this party another number than the listed one, both are kept; if it sent a wrong message, the error's
    code is kept.
    """
    if own is None:
        counts = _listed(session)
    else:
        signature = session.sign(_DOMAIN, _statement(session, session.me, own))
        for party in (*(client for client in session.clients if client != session.me), session.aggregator):
            session.send(
                "row_count", party, rows=own, signature=signature
            )  # the aggregator last: then all clients have every count that it lists
        counts = _heard(session, own)
    if not any(counts.values()):
        raise BadCount(party=session.aggregator)
    return counts


def shares(clients: Iterable[str], rows: Mapping[str, int]) -> dict[str, float]:
    """Each client's share of all rows; 0 for a client that sent no number."""
    total = sum(rows.values())
    return {client: rows.get(client, 0) / total for client in clients}


def _listed(session: Session) -> dict[str, int]:
    """The aggregator's side: keep the list of correct signed counts that arrived in time, then send it to all clients."""
    assert session.terms.task.horizontal_terms is not None
    seconds = session.terms.task.horizontal_terms.step_seconds

    def counted() -> list[list[str | int]]:
        there = session.gather("row_count", session.clients, seconds)
        told = {name: _usable(session, name) for name in there}
        return [[name, count[0], count[1].hex()] for name, count in told.items() if count is not None]

    kept = session.state.once(COUNTED, counted)
    names, counts = [name for name, _, _ in kept], [rows for _, rows, _ in kept]
    session.send("row_counts", client=names, rows=counts, signature=[bytes.fromhex(signature) for _, _, signature in kept])
    return dict(zip(names, counts, strict=True))


def _heard(session: Session, own: int) -> dict[str, int]:
    """A client's side: verify the signatures in the aggregator's list, and compare each count with the one received directly.

    The list decides. A client that sent this party no count, or a wrong one, is in the list with what it signed for the aggregator.
    """
    table = session.receive("row_counts", session.aggregator)
    names, counts, signatures = (session.values(table, name).to_pylist() for name in ("client", "rows", "signature"))
    if names != [client for client in session.clients if client in set(names)]:
        raise ForeignCounts(party=session.aggregator)
    for name, rows, signature in zip(names, counts, signatures, strict=True):
        if name == session.me:
            if rows != own:
                raise ForeignCounts("It has another count for this client.", party=session.aggregator)
            continue
        try:
            session.verify(name, signature, _DOMAIN, _statement(session, name, rows))
        except SignatureRefused:
            raise ForeignCounts(f"{name} did not sign {rows} rows.", party=session.aggregator) from None
        told = _usable(session, name)
        if told is not None and told[0] != rows:
            both = [{"rows": count, "signature": sign.hex()} for count, sign in (told, (rows, signature))]
            session.state.keep(TWO_COUNTS.of(name), both)
    return dict(zip(names, counts, strict=True))


def _usable(session: Session, client: str) -> tuple[int, bytes] | None:
    """The number that a client sent to this party, or None; a wrong one is kept as a finding, and stops nobody."""
    try:
        return _told(session, client)
    except CodedError as error:
        if error.party != client:
            raise
        if error.transient:
            return None
        session.state.keep(WRONG_COUNT.of(client), error.code)
        return None


def _told(session: Session, client: str) -> tuple[int, bytes] | None:
    """The number that a client sent to this party, and its signature; None if there is none.

    Raises SignatureRefused, or an error about the message.
    """
    table = session.peek("row_count", client, session.round)
    if table is None:
        return None
    rows, signature = session.scalar(table, "rows"), session.scalar(table, "signature")
    session.verify(client, signature, _DOMAIN, _statement(session, client, rows))
    return rows, signature


def _statement(session: Session, client: str, rows: int) -> bytes:
    return canonical({**session.moment, "client": client, "rows": rows})
