"""What a party keeps of its runs: every private object is declared once, with its name, what it holds, who
writes it and what deletes it.

Each folder of ``fl_tasks`` declares its objects in a module ``state.py``; :mod:`tombolo.fl_tasks.workflow.state` collects them. A
:class:`RunState` reads and writes declared objects only, and turns values into bytes and back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from string import Formatter
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from tombolo.agreements.manifest import Closing, Manifest
from tombolo.fl_tasks.runtime.arrays import pack, unpack
from tombolo.storage.canonical import canonical, parse
from tombolo.storage.errors import Failure
from tombolo.storage.ledger.signed import Signed
from tombolo.storage.private import PrivateArea
from tombolo.storage.roles import AGGREGATOR, CLIENT, DATA, EVERYONE, includes

T = TypeVar("T")
AGREEMENT, RUN, STAGE = "", "runs/{run}/", "runs/{run}/{stage}/"
"""The start of an object's name in the party's private area: for an object of the agreement, of a run, or of a stage of a run."""
Ends = Literal["settlement", "retention", "protocol", "never"]
"""What deletes an object: the settlement of the run (or retention, if the run was never settled), retention, the protocol by its
own rules, or nothing."""
CLIENTS = (CLIENT, AGGREGATOR)
_LARGEST = 1 << 30


@dataclass(frozen=True)
class Codec(Generic[T]):
    """How values of one type become bytes and come back."""

    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]


def _json(data: bytes) -> Any:
    return parse(data, _LARGEST)


DOCUMENT: Codec[dict[str, Any]] = Codec(canonical, _json)
"""Canonical JSON of an object."""
LISTING: Codec[list[Any]] = Codec(canonical, _json)
"""Canonical JSON of a list."""
ARRAYS: Codec[dict[str, Any]] = Codec(pack, unpack)
TEXT: Codec[str] = Codec(str.encode, bytes.decode)
NUMBER: Codec[int] = Codec(lambda number: str(number).encode(), int)
BYTES: Codec[bytes] = Codec(bytes, bytes)


def written(write: Callable[[T], Any], read: Callable[[Any], T]) -> Codec[T]:
    """Canonical JSON: ``write`` turns a value into a document, and ``read`` turns the document into the value again."""
    return Codec(lambda value: canonical(write(value)), lambda data: read(_json(data)))


def numbers(kind: str) -> Codec[npt.NDArray[Any]]:
    """The bytes of a vector of numbers of one numpy type."""
    return Codec(lambda values: values.astype(kind).tobytes(), lambda data: np.frombuffer(data, dtype=kind))


@dataclass(frozen=True)
class Item(Generic[T]):
    """A private object, or a family of them: ``name`` may have fields in braces, which :meth:`of` fills in order.

    ``writer`` is a role or several. If the first field of the name is not the run's id, ``named_by`` is
    the object of the run that holds this field. ``key`` are the fields filled so far.
    """

    name: str
    codec: Codec[T]
    about: str
    writer: str | tuple[str, ...] = EVERYONE
    place: str = RUN
    ends: Ends = "retention"
    named_by: Item[str] | None = None
    key: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.ends == "settlement" and self.place != RUN:
            raise ValueError(f"{self.name}: settlement deletes objects of the run only; use another value for ends or place")

    def of(self, *values: str | int) -> Item[T]:
        """This item with its first fields filled. If all fields are filled, it is one object, else still a family."""
        left, name, key = list(values), "", self.key
        for text, field, spec, _ in Formatter().parse(self.name):
            name += text
            if field is not None and left:
                key = (*key, format(left.pop(0), spec or ""))
                name += key[-1]
            elif field is not None:
                name += f"{{{field}:{spec}}}" if spec else f"{{{field}}}"
        return replace(self, name=name, key=key)

    def pattern(self) -> re.Pattern[str]:
        """A regular expression for the whole name, with a group for each field of ``name``."""
        return _pattern(self.place, self.name)

    def writers(self) -> tuple[str, ...]:
        """The roles that keep it, as a tuple."""
        return (self.writer,) if isinstance(self.writer, str) else self.writer

    def written_by(self, role: str) -> bool:
        """Whether parties in a role keep it."""
        return includes(self.writer, role)


_FIELD = {"s": "([^/]+)", "d": "([0-9]+)", "x": "([0-9a-f]+)"}


@lru_cache(1024)
def _pattern(place: str, name: str) -> re.Pattern[str]:
    whole = re.sub(r"\{\w+\}", "[^/]+", place)
    for text, field, spec, _ in Formatter().parse(name):
        whole += re.escape(text) + ("" if field is None else _FIELD[(spec or "s")[-1]])
    return re.compile(whole)


class RunState:
    """The objects that a party keeps of an agreement, of a run, and of a stage of the run; without a run, of the agreement only.

    No object is overwritten: keeping it again returns what was kept first.
    """

    def __init__(self, private: PrivateArea, run: str = "", stage: str = "") -> None:
        self._private, self._run, self._stage = private, run, stage

    def get(self, item: Item[T]) -> T | None:
        """The value that is kept, or None; raises SealRefused on altered bytes."""
        stored = self._private.get(self._name(item))
        return None if stored is None else item.codec.decode(stored)

    def __getitem__(self, item: Item[T]) -> T:
        """The value that is kept; raises KeyError if there is none."""
        value = self.get(item)
        if value is None:
            raise KeyError(item.name)
        return value

    def __contains__(self, item: Item[Any]) -> bool:
        return self._private.get(self._name(item)) is not None

    def keep(self, item: Item[T], value: T) -> T:
        """Keep a value. If something is kept already, that stays and is returned."""
        return item.codec.decode(self._private.keep(self._name(item), item.codec.encode(value)))

    def once(self, item: Item[T], make: Callable[[], T]) -> T:
        """The value that is kept. If there is none, the result of ``make`` is kept and returned."""
        value = self.get(item)
        return self.keep(item, make()) if value is None else value

    def all(self, item: Item[T]) -> list[Item[T]]:
        """The objects of a family that exist, by name. Their ``key`` has the values of all fields."""
        place = item.place.format(run=self._run, stage=self._stage)
        whole = _pattern("", item.name)
        names = [name.removeprefix(place) for name in self._private.names(place + item.name.split("{")[0])]
        matches = [(name, match) for name in names if (match := whole.fullmatch(name))]
        return [replace(item, name=name, key=(*item.key, *match.groups())) for name, match in matches]

    def delete(self, item: Item[Any]) -> None:
        """Remove an object for good."""
        self._private.delete(self._name(item))

    def _name(self, item: Item[Any]) -> str:
        name = item.place.format(run=self._run, stage=self._stage) + item.name
        if "{" in name:
            raise ValueError(f"{item.name} has open fields; fill them with .of(...)")
        return name


# -- what the runtime itself keeps ------------------------------------------------------------------------------------------


MANIFEST = Item(
    "manifest", written(Manifest.document, Manifest.from_document), "The run's manifest, which the parties signed.", ends="never"
)
JOIN = Item("join", DOCUMENT, "This party's answer to the invitation, a join or a refusal.", ends="never")
CLOSING = Item(
    "closing", written(Closing.document, Closing.from_document), "The aggregator's list of who takes part.", CLIENTS, ends="never"
)
ADMITTED = Item(
    "admitted/{party}", written(Signed.to_json, Signed.from_json), "A late client's signed join.", CLIENTS, ends="never"
)
SIGNATURES = Item("signatures/{party}", BYTES, "A party's signature over the manifest.", ends="never")
SECRET = Item("secret", DOCUMENT, "The run's unsealing key, and the seed of this party's own random numbers.", ends="settlement")
SHARED_SEEDS = Item(
    "seeds", DOCUMENT, "The seeds that this party shares with each data party, and with all of them.", DATA, ends="settlement"
)
SETTLED = Item("settled", DOCUMENT, "The facts of the run's final block.", ends="never")
BOOKING = Item(
    "books/{book}/{booking}", DOCUMENT, "One artifact that was sent or received: address, hash, size, time.", ends="never"
)
WAITS = Item("waits/{wait}", DOCUMENT, "When a wait began, so that its deadline stays the same after a restart.")
FINDINGS = Item("findings/{subject}", DOCUMENT, "What is wrong with a peer, for the record.", ends="never")
GIVEN_UP = Item(
    "given-up", written(Failure.document, lambda document: Failure(**document)), "Why this party gave up the run.", ends="never"
)
COLUMNS = Item("columns", DOCUMENT, "How many encoded columns each data party has in a training.")
COPIES = Item(
    "copies/{round:06d}/{step}/{message}", BYTES, "Copies of what was sent to all clients, kept until training is over.", AGGREGATOR
)
CHECKPOINTS = Item("checkpoints/{round:06d}", BYTES, "The state of a role after a round.", place=STAGE)
ITEMS = (
    MANIFEST,
    SIGNATURES,
    JOIN,
    CLOSING,
    ADMITTED,
    SECRET,
    SHARED_SEEDS,
    SETTLED,
    BOOKING,
    WAITS,
    FINDINGS,
    GIVEN_UP,
    COLUMNS,
    COPIES,
    CHECKPOINTS,
)
