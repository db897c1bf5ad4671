"""Message contracts as data: what may leave a party, in which columns, and what protects each of them.

Every column on the wire is an Arrow extension array whose type says what its values are. A protocol declares its messages
with the column kinds below; :func:`assemble` refuses any table that is not exactly what was declared, before it is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from tombolo.storage.errors import CodedError
from tombolo.storage.roles import includes

_MAX_WIDTH = 4096


class UndeclaredColumn(CodedError):
    code = "TMB-SCHEMA-001"
    cause = "A table to be sent is not what the protocol declared for this message."
    remedy = "Send only the declared columns, each in its declared ciphertext type; nothing was written."


class ForeignSchema(CodedError):
    code = "TMB-SCHEMA-002"
    cause = "A received table does not have the columns that the protocol declared for this message."
    remedy = "Both sides must run the same protocol version; the artifact is left in place for audit."


class ForeignNumber(CodedError):
    code = "TMB-SCHEMA-003"
    cause = "A received column holds a number that is not finite, or outside what the protocol allows."
    remedy = "Ask the named party; its training may have diverged. The artifact is left in place for audit."


class ProtectedType(pa.ExtensionType):  # type: ignore[misc]
    """Arrow extension type of one column on the wire: ``kind`` names the protection, ``params`` its particulars."""

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


@dataclass(frozen=True)
class Column:
    """One declared column: the kind of protection, its parameters, and whether plain values may be wrapped into it."""

    kind: str
    params: Mapping[str, str] = field(default_factory=dict)
    base: str = "fixed"  # a key of _BASES, or "fixed" for fixed-width binary of any sane width
    open: bool = False  # True for Public and Disclosed: the recipient may read the values

    def accepts(self, found: pa.DataType) -> bool:
        """Whether an Arrow type carries this protection with these parameters (others, such as a key id, may be added)."""
        if not isinstance(found, ProtectedType) or found.kind != self.kind:
            return False
        if any(found.params.get(name) != value for name, value in self.params.items()):
            return False
        if self.base == "fixed":
            return bool(pa.types.is_fixed_size_binary(found.storage_type)) and int(found.storage_type.byte_width) <= _MAX_WIDTH
        return bool(found.storage_type == _BASES[self.base])

    def wrap(self, values: Any, **extra: str) -> pa.ExtensionArray:
        """Put values under this column's extension type. For ciphertext kinds ``values`` is a fixed-size binary array.

        ``extra`` adds parameters to the type, such as ``key`` for the id of the key that a ciphertext is under.
        """
        if isinstance(values, pa.ExtensionArray):
            return values
        if isinstance(values, pa.Array):
            array = values
        elif self.base == "fixed":
            raise UndeclaredColumn(f"A {self.kind} column takes a fixed-size binary array, not plain values.")
        else:
            array = pa.array([values] if isinstance(values, str | bytes | bool | int | float) else values, _BASES[self.base])
        return pa.ExtensionArray.from_storage(ProtectedType(array.type, self.kind, {**self.params, **extra}), array)


def Paillier(holder: str) -> Column:  # noqa: N802 - reads as a type in a contract
    """Paillier ciphertexts that only the ``holder`` role can decrypt."""
    return Column("paillier", {"holder": holder})


def PaddedModN(holder: str) -> Column:  # noqa: N802
    """Residues modulo the ``holder``'s n under a one-time pad that only the recipient can remove."""
    return Column("one-time-pad-mod-n", {"holder": holder})


def Pad64() -> Column:  # noqa: N802
    """Values modulo 2^64 under masks that cancel only in the sum over all senders (or for the recipient alone)."""
    return Column("one-time-pad-mod-2^64", base="uint64")


def BlindedPoint() -> Column:  # noqa: N802
    """ristretto255 points raised to a secret exponent."""
    return Column("blinded-point")


def MaskedCode() -> Column:  # noqa: N802
    """Code words under a one-time pad of key streams, of which the recipient has one of every two by oblivious transfer."""
    return Column("masked-code")


def OprfTag() -> Column:  # noqa: N802
    """Values of an oblivious pseudo-random function: whoever asked for an id knows its tag, all others look random."""
    return Column("oprf-tag")


def KeyedToken() -> Column:  # noqa: N802
    """Ids that sender and recipient both have, enciphered under a key that only these two have."""
    return Column("keyed-token")


def Commitment() -> Column:  # noqa: N802
    """SHA-256 commitments."""
    return Column("commitment")


def Sealed() -> Column:  # noqa: N802
    """Bytes sealed once more for somebody else than the recipient."""
    return Column("sealed", base="binary")


def Public(base: str, reason: str) -> Column:  # noqa: N802
    """What is public by necessity (a public key, a size): readable, declared with its reason."""
    return Column("public", {"reason": reason}, base, open=True)


def Disclosed(base: str, reason: str, limit: str) -> Column:  # noqa: N802
    """What the recipient may learn of the sender's data: readable, declared with its reason and what limits it."""
    return Column("disclosed", {"reason": reason, "limit": limit}, base, open=True)


@dataclass(frozen=True)
class Message:
    """A kind of thing that one role sends to another in a protocol.

    ``sender`` and ``to`` are roles, or one of the words for many in :mod:`tombolo.storage.roles`. ``learns`` says, for the leakage
    table, what the recipient learns from it, and ``limit`` what bounds that.
    """

    name: str
    sender: str | tuple[str, ...]
    to: str | tuple[str, ...]
    columns: Mapping[str, Column]
    learns: str
    step: str = "0"
    limit: str = "-"

    def sent_by(self, role: str) -> bool:
        """Whether parties in a role send it."""
        return includes(self.sender, role)

    def heard_by(self, role: str) -> bool:
        """Whether it is for parties in a role."""
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
        """``message.column`` of everything a recipient may read of a sender's data, with the reason."""
        return {
            f"{message.name}.{name}": column.params["reason"]
            for message in self.values()
            for name, column in message.columns.items()
            if column.kind == "disclosed"
        }

    def leakage_table(self) -> str:
        """The protocol's leakage table as Markdown: one row per message."""
        rows = ["| step | message | from | to | protected by | the recipient learns | limited by |", "|---" * 7 + "|"]
        for message in self.values():
            kinds = ", ".join(f"{name}: {column.kind}" for name, column in message.columns.items())
            ends = [named if isinstance(named, str) else ", ".join(named) for named in (message.sender, message.to)]
            rows.append(
                f"| {message.step} | {message.name} | {ends[0]} | {ends[1]} | {kinds} | {message.learns} | {message.limit} |"
            )
        return "\n".join(rows) + "\n"


def assemble(message: Message, columns: Mapping[str, Any]) -> pa.Table:
    """Make the table of one artifact, or refuse it.

    Plain values are accepted only for columns declared :func:`Public` or :func:`Disclosed`; every other column must arrive as
    an extension array of its declared kind. Raises :class:`UndeclaredColumn`.
    """
    if set(columns) != set(message.columns):
        extra, lacking = sorted(set(columns) - set(message.columns)), sorted(set(message.columns) - set(columns))
        raise UndeclaredColumn(f"Message {message.name}: undeclared {extra}, lacking {lacking}.")
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


def admit(message: Message, table: pa.Table) -> pa.Table:
    """Check a received table against the declaration; raises :class:`ForeignSchema` or :class:`ForeignNumber`."""
    if table.schema.names != list(message.columns):
        raise ForeignSchema(f"Message {message.name}: unexpected columns.")
    for name, declared in message.columns.items():
        if not declared.accepts(table.schema.field(name).type):
            raise ForeignSchema(f"Message {message.name}, column {name}: expected {declared.kind}.")
        if table.column(name).null_count:
            raise ForeignSchema(f"Message {message.name}, column {name}: null values.")
        if declared.base == "float64" and not all(
            np.isfinite(chunk.storage.to_numpy()).all() for chunk in table.column(name).chunks
        ):
            raise ForeignNumber(f"Message {message.name}, column {name}.")
    return table


def describe(table: pa.Table) -> list[list[str]]:
    """Column names with their kinds, as they stand in the signed header."""
    return [[field.name, field.type.kind] for field in table.schema]
