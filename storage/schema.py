"""Declarations of messages: what a party may send, in which columns, and what protects each column.

Every column on the wire is an Arrow extension array; its type says what the values are. A protocol declares its messages with the
column kinds below. :func:`assemble` refuses every table that differs from the declaration, before it is written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tombolo.storage.errors import CodedError
from tombolo.storage.meters import METRIC, METRIC_BITS, ROWS, Meter
from tombolo.storage.roles import includes

_MAX_WIDTH = 4096
_MOST = 2**53 - 1
"""The largest whole number that a column may have, if it declares no other: canonical JSON has no larger one."""
FEW = 1000
"""The most rows of a list of figures or statements."""
_OVERHEAD = 1 << 17
"""Bytes of an artifact besides its values: the Arrow stream's own, the seal's, and paddings."""


class UndeclaredColumn(CodedError):
    code = "TMB-SCHEMA-001"
    cause = "A table to send differs from what the protocol declares for this message. Nothing was sent."
    remedy = "Correct the protocol's program: it may send only the declared columns, each with its declared type."


class ForeignSchema(CodedError):
    code = "TMB-SCHEMA-002"
    cause = "A received table differs from what the protocol declares for this message."
    remedy = "Install the same version of the protocol at both parties. The artifact stays in place for the audit."


class TooManyRows(CodedError):
    code = "TMB-SCHEMA-004"
    cause = "A received artifact has another number of rows than its message can have here."
    remedy = "Ask the named party; both need the same version of the protocol. The artifact stays in place for the audit."


class ForeignNumber(CodedError):
    code = "TMB-SCHEMA-003"
    cause = "A received column has a number that is not finite, or that the protocol does not allow."
    remedy = "Ask the named party; its training may have diverged. The artifact stays in place for the audit."


class ProtectedType(pa.ExtensionType):  # type: ignore[misc]
    """The Arrow extension type of one column on the wire: ``kind`` names the protection, ``params`` its details."""

    NAME: ClassVar[str] = "tombolo.protected"

    def __init__(self, storage: pa.DataType, kind: str, params: Mapping[str, str]) -> None:
        self.kind = kind
        self.params = dict(params)
        super().__init__(storage, self.NAME)

    def __arrow_ext_serialize__(self) -> bytes:
        return json.dumps({"kind": self.kind, "params": self.params}, sort_keys=True).encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, serialized: bytes) -> ProtectedType:
        document = json.loads(serialized)
        kind, params = document["kind"], document["params"]
        if not isinstance(kind, str) or not all(isinstance(v, str) for v in params.values()):
            raise ForeignSchema("A column's type description is malformed.")
        return cls(storage, kind, params)

    def __reduce__(self) -> Any:
        return type(self).__arrow_ext_deserialize__, (self.storage_type, self.__arrow_ext_serialize__())


pa.register_extension_type(ProtectedType(pa.binary(), "register", {}))

_BASES = {
    "float64": pa.float64(),
    "int64": pa.int64(),
    "uint64": pa.uint64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "binary": pa.binary(),
}
_LONGEST = {"string": 1 << 10, "binary": 1 << 16}
"""The most bytes of one value, if its column declares no other number."""
_NUMBER_BITS = 53
_TOKENS = ("blinded-point", "oprf-tag", "keyed-token")


@dataclass(frozen=True)
class Column:
    """One declared column: the kind of protection, its parameters, and whether plain values may be wrapped into it.

    ``least`` and ``most`` bound numbers, which are always finite. ``longest`` bounds the bytes of a text or of binary values, and
    ``width`` those of values of fixed width.
    """

    kind: str
    params: Mapping[str, str] = field(default_factory=dict)
    base: str = "fixed"  # a key of _BASES, or "fixed" for binary values of one width
    open: bool = False  # True for Public and Disclosed: the recipient may read the values
    reason: str = ""  # why it is open, and what limits what it tells; for people, and not on the wire
    limit: str = ""
    least: float = 0
    most: float = _MOST
    longest: int = 0
    width: int = _MAX_WIDTH
    meter: Meter | None = None  # of what the recipient reads of the sender's data, also if it first takes a protection off

    def __post_init__(self) -> None:
        if self.kind == "disclosed" and self.meter is None:
            raise ValueError("a disclosed column must name its meter (tombolo.storage.meters)")

    @property
    def bits(self) -> float:
        """The most bits that one value tells. Metrics have four digits; a token or a row's position tells who is in a set."""
        if self.kind in _TOKENS or self.base == "bool" or (self.base == "int64" and self.meter == ROWS):
            return 1
        if self.base in ("float64", "fixed", "uint64"):
            return METRIC_BITS if self.meter == METRIC else _NUMBER_BITS
        if self.base == "int64":
            return min(math.ceil(math.log2(self.most - self.least + 2)), _NUMBER_BITS)
        return 8 * self.cell

    @property
    def cell(self) -> int:
        """The most bytes of one value."""
        if self.base in _LONGEST:
            return self.longest or _LONGEST[self.base]
        return self.width if self.base == "fixed" else 8

    def shorter(self, longest: int) -> Column:
        """This column; texts and binary values have at most ``longest`` bytes."""
        return replace(self, longest=max(1, min(self.cell, longest))) if self.base in _LONGEST else self

    def accepts(self, found: pa.DataType) -> bool:
        """Whether an Arrow type has this protection and these parameters. It may have more, such as a key id."""
        if not isinstance(found, ProtectedType) or found.kind != self.kind:
            return False
        if any(found.params.get(name) != value for name, value in self.params.items()):
            return False
        if self.base == "fixed":
            return bool(pa.types.is_fixed_size_binary(found.storage_type)) and int(found.storage_type.byte_width) <= self.width
        return bool(found.storage_type == _BASES[self.base])

    def wrap(self, values: Any, **extra: str) -> pa.ExtensionArray:
        """Give values this column's extension type. For ciphertexts, ``values`` is a fixed-size binary array.

        ``extra`` adds parameters to the type, such as ``key``, the id of the key that encrypts them.
        """
        if isinstance(values, pa.ExtensionArray):
            return values
        if isinstance(values, pa.Array):
            array = values
        elif self.base == "fixed":
            raise UndeclaredColumn(f"A {self.kind} column needs a fixed-size binary array, not plain values.")
        else:
            array = pa.array([values] if isinstance(values, str | bytes | bool | int | float) else values, _BASES[self.base])
        return pa.ExtensionArray.from_storage(ProtectedType(array.type, self.kind, {**self.params, **extra}), array)


# A protected column has a meter if its recipient can read what is in it: it decrypts, removes a pad, or adds up shares.


def Paillier(holder: str, meter: Meter | None = None) -> Column:  # noqa: N802 - reads as a type in a contract
    """Paillier ciphertexts that only the ``holder`` role can decrypt."""
    return Column("paillier", {"holder": holder}, meter=meter)


def PaddedModN(holder: str, meter: Meter | None = None) -> Column:  # noqa: N802
    """Numbers modulo n, the modulus of the ``holder``'s key, under a one-time pad that only the recipient can remove."""
    return Column("one-time-pad-mod-n", {"holder": holder}, meter=meter)


def Pad64(meter: Meter | None = None) -> Column:  # noqa: N802
    """Values modulo 2^64 under masks that cancel only in the sum over all senders (or for the recipient alone)."""
    return Column("one-time-pad-mod-2^64", base="uint64", meter=meter)


def BlindedPoint(meter: Meter | None = None) -> Column:  # noqa: N802
    """ristretto255 points raised to a secret exponent."""
    return Column("blinded-point", width=32, meter=meter)


def MaskedCode() -> Column:  # noqa: N802
    """Code words under one-time pads from pairs of key streams; by oblivious transfer the recipient has one stream of each pair."""
    return Column("masked-code", width=64)


def OprfTag(meter: Meter | None = None) -> Column:  # noqa: N802
    """Values of an oblivious pseudo-random function. The recipient knows the tags of ids it asked for; the others look random."""
    return Column("oprf-tag", width=16, meter=meter)


def KeyedToken(meter: Meter | None = None) -> Column:  # noqa: N802
    """Ids that the sender and the recipient both have, encrypted under a key that only these two have."""
    return Column("keyed-token", width=16, meter=meter)


def Commitment() -> Column:  # noqa: N802
    """SHA-256 commitments."""
    return Column("commitment", width=32)


def Sealed(longest: int = 0) -> Column:  # noqa: N802
    """Bytes that are also sealed to another party than the recipient, which passes them on."""
    return Column("sealed", base="binary", longest=longest)


def Public(base: str, reason: str, **bounds: Any) -> Column:  # noqa: N802
    """A value that must be public (a public key, a size). Everybody may read it; ``reason`` says why.

    ``bounds`` are ``least``, ``most`` and ``longest`` of :class:`Column`. Without them, whole numbers are from 0 to 2^53 - 1, and
    decimal numbers have any finite size. Texts have at most 1,024 bytes then, and binary values 65,536.
    """
    return Column("public", base=base, open=True, reason=reason, **_bounds(base, bounds))


def Disclosed(base: str, reason: str, limit: str, meter: Meter, **bounds: Any) -> Column:  # noqa: N802
    """What the recipient may learn of the sender's data. ``reason`` says why, ``limit`` what limits it, and ``meter`` counts it;
    bounds as in Public."""
    return Column("disclosed", base=base, open=True, reason=reason, limit=limit, meter=meter, **_bounds(base, bounds))


def _bounds(base: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"least": -math.inf, "most": math.inf, **given} if base == "float64" else given


@dataclass(frozen=True)
class Message:
    """A kind of thing that one role sends to another in a protocol.

    ``sender`` and ``to`` are roles, or a word for several roles (:mod:`tombolo.storage.roles`). For the leakage table, ``learns``
    says what the recipient learns from the message, and ``limit`` what limits it. An artifact has one row. If ``rows`` is another
    number, it has at most so many; if it is None, the recipient says how many it expects at most when it receives the message.
    """

    name: str
    sender: str | tuple[str, ...]
    to: str | tuple[str, ...]
    columns: Mapping[str, Column]
    learns: str
    step: str = "0"
    limit: str = "-"
    rows: int | None = 1

    @property
    def schema(self) -> tuple[tuple[str, str], ...]:
        """The column names with their kinds, as the signed header lists them."""
        return tuple((name, column.kind) for name, column in self.columns.items())

    @property
    def metered(self) -> bool:
        """Whether a column of it has a meter."""
        return any(column.meter is not None for column in self.columns.values())

    def most_rows(self, expected: int | None = None) -> int:
        """The most rows of an artifact, of which the recipient expects at most ``expected``."""
        if self.rows is None and expected is None:
            raise ValueError(f"{self.name} has no fixed number of rows: the recipient must say how many it expects")
        return min(bound for bound in (self.rows, expected) if bound is not None)

    def shorter(self, longest: int) -> Message:
        """This message, whose texts and binary values have at most ``longest`` bytes here, as the recipient knows."""
        columns = {
            name: replace(one, longest=min(one.cell, longest)) if one.base in _LONGEST else one
            for name, one in self.columns.items()
        }
        return replace(self, columns=columns)

    def most_bytes(self, rows: int) -> int:
        """The most bytes of an artifact, or of a part of it, with so many rows."""
        return _OVERHEAD + rows * sum(column.cell + 8 for column in self.columns.values())

    def sent_by(self, role: str) -> bool:
        """Whether parties with this role send it."""
        return includes(self.sender, role)

    def heard_by(self, role: str) -> bool:
        """Whether parties with this role receive it."""
        return includes(self.to, role)


class MessageSet(Mapping[str, Message]):
    """The messages of one protocol, by name."""

    def __init__(self, protocol: str, *parts: Message | MessageSet) -> None:
        self.protocol = protocol
        messages = [message for part in parts for message in ([part] if isinstance(part, Message) else part.values())]
        self._messages = {message.name: message for message in messages}
        if len(self._messages) != len(messages):
            raise ValueError(f"{protocol}: message names must differ")

    def __getitem__(self, name: str) -> Message:
        return self._messages[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._messages)

    def __len__(self) -> int:
        return len(self._messages)

    def disclosures(self) -> dict[str, str]:
        """The columns of a sender's data that the recipient may read, as ``message.column``, with the reasons."""
        return {
            f"{message.name}.{name}": column.reason
            for message in self.values()
            for name, column in message.columns.items()
            if column.kind == "disclosed"
        }

    def leakage_table(self) -> str:
        """The protocol's leakage table as Markdown: one row per message."""
        titles = "step | message | from | to | protected by | the recipient learns | limited by | adds up to"
        rows = [f"| {titles} |", "|---" * 8 + "|"]
        for message in self.values():
            kinds = ", ".join(f"{name}: {column.kind}" for name, column in message.columns.items())
            ends = [named if isinstance(named, str) else ", ".join(named) for named in (message.sender, message.to)]
            meters = dict.fromkeys(column.meter for column in message.columns.values() if column.meter is not None)
            total = "; ".join(f"{meter.name}: {meter.adds_up}" for meter in meters) or "-"
            rows.append(f"| {' | '.join((message.step, message.name, *ends, kinds, message.learns, message.limit, total))} |")
        return "\n".join(rows) + "\n"


def assemble(message: Message, columns: Mapping[str, Any]) -> pa.Table:
    """Make the table of one artifact.

    Plain values are accepted only for columns declared :func:`Public` or :func:`Disclosed`. Every other column must be an
    extension array of its declared kind. Raises :class:`UndeclaredColumn`.
    """
    if set(columns) != set(message.columns):
        extra, missing = sorted(set(columns) - set(message.columns)), sorted(set(message.columns) - set(columns))
        raise UndeclaredColumn(f"Message {message.name}: undeclared {extra}, missing {missing}.")
    arrays = []
    for name, declared in message.columns.items():
        given = columns[name]
        if not declared.open and not isinstance(given, pa.ExtensionArray):
            raise UndeclaredColumn(f"Message {message.name}, column {name}: declared {declared.kind}, given plain values.")
        try:
            array = declared.wrap(given)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            raise UndeclaredColumn(f"Message {message.name}, column {name}: values do not fit {declared.base}.") from None
        if not declared.accepts(array.type):
            raise UndeclaredColumn(f"Message {message.name}, column {name}: declared {declared.kind}, given {array.type}.")
        arrays.append(array)
    if len({len(array) for array in arrays}) > 1:
        raise UndeclaredColumn(f"Message {message.name}: columns differ in length.")
    return pa.table(arrays, names=list(message.columns))


def admit(message: Message, table: pa.Table, expected: int | None = None) -> pa.Table:
    """Compare a received table with its declaration, and with the most rows that the recipient expects.

    Raises :class:`ForeignSchema`, :class:`TooManyRows` or :class:`ForeignNumber`.
    """
    admit_schema(message, table.schema)
    admit_rows(message, table.num_rows, expected)
    for name, declared in message.columns.items():
        column = table.column(name)
        where = f"Message {message.name}, column {name}"
        if column.null_count:
            raise ForeignSchema(f"{where}: null values.")
        if declared.base != "fixed" and table.num_rows:
            _admit_values(declared, [chunk.storage for chunk in column.chunks], where)
    return table


def admit_rows(message: Message, rows: int, expected: int | None = None) -> None:
    """Raise :class:`TooManyRows` unless an artifact may have so many rows."""
    most = message.most_rows(expected)
    if rows > most or (message.rows == 1 and rows != 1):
        raise TooManyRows(f"Message {message.name}: {rows} instead of {'' if message.rows == 1 else 'at most '}{most}.")


def admit_schema(message: Message, schema: pa.Schema) -> None:
    """Raise :class:`ForeignSchema` unless a table has the declared columns, and no more than their types says something."""
    if schema.names != list(message.columns) or schema.metadata:
        raise ForeignSchema(f"Message {message.name}: unexpected columns.")
    for name, declared in message.columns.items():
        if not declared.accepts(schema.field(name).type) or schema.field(name).metadata:
            raise ForeignSchema(f"Message {message.name}, column {name}: expected {declared.kind}.")


def _admit_values(declared: Column, chunks: list[pa.Array], where: str) -> None:
    """Raise an error unless all values are within the bounds of their column."""
    if declared.base in _LONGEST:
        if any(len(chunk) and pc.max(pc.binary_length(chunk)).as_py() > declared.cell for chunk in chunks):
            raise ForeignSchema(f"{where}: a value of more than {declared.cell} bytes.")
    elif declared.base in ("float64", "int64"):
        for values in (chunk.to_numpy(zero_copy_only=False) for chunk in chunks if len(chunk)):
            if not np.isfinite(values).all() or values.min() < declared.least or values.max() > declared.most:
                raise ForeignNumber(f"{where}.")
