"""Hostile values: for each column of each message a party receives, what a peer with a good signature could write into it instead.

At the first arrival of a message the process forks once per forged artifact. The child goes on with the forgery for some turns of
its recipient, tells how that ended, and is gone; the parent goes on with the true artifact.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from tests.bounds import bounded
from tests.conformance.trial import Sent, Watcher
from tombolo.fl_tasks.runtime.waiting import Waiting
from tombolo.storage.errors import CodedError
from tombolo.storage.exchange import Receipt
from tombolo.storage.schema import Column, Message, ProtectedType, admit

PATIENCE = 60
"""Seconds that a party may work on a forgery."""
MEMORY = 2 << 30
"""Bytes that it may take beyond what it has."""
TURNS = 2
"""How many more turns the recipient of a forgery gets: what its other peers send may show it."""
NUMBERS: Mapping[str, Mapping[str, Any]] = {
    "float64": {"nan": np.nan, "infinite": np.inf, "minus infinite": -np.inf, "huge": 1e300},
    "int64": {"negative": -1, "huge": 1 << 62},
    "string": {"empty": "", "unknown": "nobody", "long": "x" * 1025},
    "binary": {"empty": b"", "random": bytes(range(7, 40)), "long": bytes((1 << 16) + 1)},
}
"""What takes the place of the last value of a readable column."""


def _column(declared: Column, values: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    """Forged values of a column, under names for people: the last one, since the first of a list may be the recipient's own."""
    rest = values[:-1]
    if declared.base == "fixed":
        width = values.type.byte_width
        for name, value in (("zero", bytes(width)), ("ones", b"\xff" * width)):
            yield name, pa.concat_arrays([rest, pa.array([value], values.type)])
        for name, other in (("narrow", width - 1), ("wide", width + 1)):
            yield name, pa.array([(one + b"\x00")[:other] for one in values.to_pylist()], pa.binary(other))
        return
    for name, value in NUMBERS.get(declared.base, {}).items():
        yield name, pa.concat_arrays([rest, pa.array([value], values.type)])


def forgeries(message: Message, table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Forged artifacts: of another length, and with one column of other values."""
    rows = table.num_rows
    yield "*/no rows", table.slice(0, 0)
    yield "*/a row more", pa.concat_tables([table, table.slice(rows - 1)])
    if rows > 1:
        yield "*/a row less", table.slice(0, rows - 1)
    for index, (name, declared) in enumerate(message.columns.items()):
        column = table.column(name).combine_chunks()
        whole = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
        kind: ProtectedType = whole.type
        for what, forged in _column(declared, whole.storage):
            made = pa.ExtensionArray.from_storage(ProtectedType(forged.type, kind.kind, kind.params), forged)
            yield f"{name}/{what}", table.set_column(index, name, made)


@dataclass
class Forger(Watcher):
    """Tries all forgeries of every message where it arrives first, by sender's and recipient's role.

    ``found`` are those that were not refused as they should be: how each ended, by ``message.column/forgery``.
    """

    roles: Mapping[str, str]
    unsound: Callable[[str], bool] = lambda _: False
    found: dict[str, str] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)
    _seen: set[tuple[str, str, str]] = field(default_factory=set)
    _report: int | None = None
    _forged: tuple[tuple[str, str, str, int, str], Receipt] | None = None
    _peer: str = ""
    _me: str = ""
    _turns: int = 0
    _nonfinite: str = ""

    def arrived(self, me: str, message: Message, frm: str, round: int, receipt: Receipt, rows: int | None) -> Receipt:
        key = (message.name, frm, me, round, message.step)
        if self._report is not None:
            return self._forged[1] if self._forged and self._forged[0] == key else receipt
        seen = (message.name, self.roles[frm], self.roles[me])
        if seen in self._seen or not receipt.table.num_rows:
            return receipt
        self._seen.add(seen)
        for number, (what, table) in enumerate(forgeries(message, receipt.table)):
            name = f"{message.name}.{what}"
            self.tried.add(name)
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(reading)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(PATIENCE)
                bounded(MEMORY, PATIENCE)
                self._report, self._peer, self._me = writing, frm, me
                forged = Receipt(table, hashlib.sha256(f"{receipt.sha256} {number}".encode()).hexdigest())
                self._forged = (key, forged)
                try:
                    admit(message, table, rows)
                except CodedError as error:
                    self._tell(error.at(frm))  # as Session.receive does it
                return forged
            os.close(writing)
            with open(reading, "rb") as pipe:
                told = pipe.read()
            _, status = os.waitpid(child, 0)
            ended = told.decode() if told else f"the process ended with {status}"
            if ended != "refused":
                self.found[name] = f"{self.roles[frm]} to {self.roles[me]}: {ended}"
        return receipt

    def leaving(self, sent: Sent, columns: Mapping[str, Any]) -> None:
        if self._report is not None:
            bad = [
                name for name, values in columns.items() if _floats(values) is not None and not np.isfinite(_floats(values)).all()
            ]
            self._nonfinite = self._nonfinite or (f"{sent[0]}.{bad[0]}" if bad else "")

    def ended(self, party: str, error: BaseException | None) -> None:
        """A turn is over; a child ends with the first error, or when the recipient has had some more turns."""
        if self._report is None:
            return
        self._turns += party == self._me
        through = error is None and party == self._me
        if not (through or self._turns > TURNS) and (error is None or isinstance(error, Waiting)):
            return
        self._tell(error, party)

    def leave(self) -> None:
        """The stage is over at all parties: no child goes further."""
        if self._report is not None:
            self._tell(None)

    def _tell(self, error: BaseException | None, party: str = "") -> None:
        assert self._report is not None
        if isinstance(error, CodedError):
            told = "refused" if error.party == self._peer else f"{error.code} blames {self.roles.get(error.party or '', 'nobody')}"
        elif error is not None and not isinstance(error, Waiting):
            told = f"{type(error).__name__}: {str(error)[:100]}"
        elif self._nonfinite or (party and error is None and self.unsound(party)):
            told = f"used: {self._nonfinite or 'what is kept'} is not finite"
        else:
            told = "accepted"
        os.write(self._report, told.encode())
        os._exit(0)


def _floats(values: Any) -> Any:
    if isinstance(values, pa.Array):
        values = values.storage if isinstance(values, pa.ExtensionArray) else values
        return values.to_numpy(zero_copy_only=False) if pa.types.is_floating(values.type) else None
    array = np.asarray(values)
    return array if array.dtype.kind == "f" else None


__all__ = ["Forger", "forgeries"]
