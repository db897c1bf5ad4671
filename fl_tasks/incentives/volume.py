"""Contributions where clients hold rows of one table: by how many training rows each of them has.

Nobody sees a client's update or its score, so that a coalition without a client has no value that could be computed: from the sum
over some clients and the sum over one more, that one's own would follow. What is left is volume. Each client tells its number of
rows to all, signed; the aggregator lists the signed numbers that came in time, so that everybody divides by the same ones; and each
client compares the list with what it was told itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tombolo.fl_tasks.incentives.state import COUNTED, TWO_COUNTS
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.canonical import canonical
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import SignatureRefused
from tombolo.storage.roles import AGGREGATOR, CLIENT
from tombolo.storage.schema import Disclosed, Message, MessageSet, Public

_DOMAIN = "row count"
_MOST_ROWS = 1 << 40
_SIGNATURE = Public("binary", "the client's signature over its number of rows")
_REASON = "a share of the data, which is the contribution"

MESSAGES = MessageSet(
    "volume",
    Message(
        "row_count",
        CLIENT,
        (CLIENT, AGGREGATOR),
        {"rows": Disclosed("int64", _REASON, "one count per run"), "signature": _SIGNATURE},
        learns="how many training rows the client has",
        step="0",
        limit="one count; sent only where the terms pay for contributions",
    ),
    Message(
        "row_counts",
        AGGREGATOR,
        CLIENT,
        {
            "client": Public("string", "which clients are paid for their rows"),
            "rows": Disclosed("int64", _REASON, "one count per client and run"),
            "signature": _SIGNATURE,
        },
        learns="how many training rows each client has, once more",
        step="1",
        limit="the counts that the clients have told all others themselves",
    ),
)


class ForeignCounts(CodedError):
    code = "TMB-REWARD-005"
    cause = "The aggregator's list of clients' row counts cannot be: strangers, repetitions, or counts that no client signed."
    remedy = "Nothing is paid by it. All parties must run the same version; if they do, ask the aggregator."


class TwoCounts(CodedError):
    code = "TMB-REWARD-006"
    cause = "A client has told different parties different numbers of training rows, each with its signature."
    remedy = "The run is settled by the number that all were shown. Ask that client; both signed numbers are kept as proof."


class NotCounted(CodedError):
    code = "TMB-REWARD-007"
    cause = "The aggregator's list of row counts does not have this client's, so that nothing is paid for its rows."
    remedy = "If this client told its count within task.horizontal.step_seconds, ask the aggregator; its store shows when."


class BadCount(CodedError):
    code = "TMB-REWARD-008"
    cause = "A client says that it has a negative or an absurd number of training rows, or no client has any."
    remedy = "All parties must run the same version; ask that client."


def agree_on_rows(session: Session, own: int | None) -> dict[str, int]:
    """Number of training rows by client, for those who told it in time; ``own`` is this client's (None at the aggregator).

    The same at every party and in every replay. Raises :class:`ForeignCounts`, :class:`BadCount` or what waiting raises. Where a
    client has told this one another number than the listed one, both are kept under ``two-counts/<client>`` in the stage's area.
    """
    if own is None:
        counts = _listed(session)
    else:
        signature = session.sign(_DOMAIN, _statement(session, session.me, own))
        for party in (*(client for client in session.clients if client != session.me), session.aggregator):
            session.send("row_count", party, rows=own, signature=signature)  # the aggregator last: what it lists, all have
        counts = _heard(session, own)
    if not any(counts.values()):
        raise BadCount(party=session.aggregator)
    return counts


def shares(clients: Iterable[str], rows: Mapping[str, int]) -> dict[str, float]:
    """Each client's part of all rows; 0 for who told none."""
    total = sum(rows.values())
    return {client: rows.get(client, 0) / total for client in clients}


def _listed(session: Session) -> dict[str, int]:
    """The aggregator's side: the signed counts that came in time, kept before anybody hears of them, and told to all."""
    assert session.terms.task.horizontal_terms is not None
    seconds = session.terms.task.horizontal_terms.step_seconds
    there = session.state.once(COUNTED, lambda: session.gather("row_count", session.clients, seconds))
    told = {name: _told(session, name) for name in there}
    counts, signatures = ([signed[at] for signed in told.values()] for at in (0, 1))
    session.send("row_counts", client=list(told), rows=counts, signature=signatures)
    return dict(zip(told, counts, strict=True))


def _heard(session: Session, own: int) -> dict[str, int]:
    """A client's side: the aggregator's list, each count signed, and compared with what its client has told this one."""
    table = session.receive("row_counts", session.aggregator)
    names, counts, signatures = (session.values(table, name).to_pylist() for name in ("client", "rows", "signature"))
    if names != [client for client in session.clients if client in set(names)]:
        raise ForeignCounts(party=session.aggregator)
    for name, rows, signature in zip(names, counts, signatures, strict=True):
        if name == session.me:
            if rows != own:
                raise ForeignCounts("Another count of this client.", party=session.aggregator)
            continue
        try:
            session.verify(name, signature, _DOMAIN, _statement(session, name, rows))
        except SignatureRefused:
            raise ForeignCounts(f"{name} has not signed {rows} rows.", party=session.aggregator) from None
        told = _told(session, name)
        if told[0] != rows:
            both = [{"rows": count, "signature": sign.hex()} for count, sign in (told, (rows, signature))]
            session.state.keep(TWO_COUNTS.of(name), both)
    return dict(zip(names, counts, strict=True))


def _told(session: Session, client: str) -> tuple[int, bytes]:
    """What a client has told this party, with its signature. Raises :class:`BadCount` or SignatureRefused."""
    table = session.receive("row_count", client)
    rows, signature = session.scalar(table, "rows"), session.scalar(table, "signature")
    if not 0 <= rows < _MOST_ROWS:
        raise BadCount(party=client)
    session.verify(client, signature, _DOMAIN, _statement(session, client, rows))
    return rows, signature


def _statement(session: Session, client: str, rows: int) -> bytes:
    return canonical({**session.moment, "client": client, "rows": rows})
