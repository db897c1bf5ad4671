"""Aborts: a party that gives up a run tells its peers why, signed, so that they stop at their next step."""

from __future__ import annotations

from collections.abc import Iterable

from tombolo.fl_tasks.runtime.waiting import PeerAborted
from tombolo.storage.errors import CodedError
from tombolo.storage.exchange import Exchange
from tombolo.storage.roles import EVERYONE
from tombolo.storage.schema import Message, MessageSet, Public

ABORT = MessageSet(
    "abort",
    Message(
        "abort",
        EVERYONE,
        EVERYONE,
        {
            "code": Public("string", "why the run ends"),
            "step": Public("string", "where it ended"),
            "cause": Public("string", "the code's text, the same for everybody"),
        },
        learns="that the sender gave up, where, and for which coded reason",
        step="abort",
    ),
)


def publish_abort(exchange: Exchange, error: CodedError) -> None:
    """Tell every peer, once; details stay at home."""
    columns = {"code": error.code, "step": error.step or "-", "cause": error.cause}
    for peer in exchange.peers:
        exchange.send(ABORT["abort"], peer, 0, columns)


def published_abort(exchange: Exchange, peers: Iterable[str]) -> CodedError | None:
    """The first abort that one of these peers has published for this run, as the error to stop with."""
    for peer in peers:
        receipt = exchange.fetch(ABORT["abort"], peer, 0)
        if receipt is not None:
            code, step, cause = (receipt.table.column(name)[0].as_py() for name in ("code", "step", "cause"))
            return PeerAborted(f"{code} at {step}: {_printable(cause)}", party=peer)
    return None


def _printable(text: str) -> str:
    """A peer's text, as harmless as a log line should be."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:300]
