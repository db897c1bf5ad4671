"""The interface of stores: put without overwriting, get, list by prefix, delete, stat."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tombolo.storage.errors import CodedError

MAX_KEY_BYTES = 900
MOST_KEYS = 1_000_000
"""The most keys that a listing may have."""
ANY_SIZE = 1 << 62
"""No limit of bytes: only for a party's own objects."""
MAX_SEGMENT_BYTES = 255  # the longest name in a file system, so that every key fits every store
_NEIGHBOURS = 1000  # keys that may begin with a whole key
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")


class KeyTaken(CodedError):
    code = "TMB-STORE-001"
    cause = "An object with this key exists already, and a store never overwrites an object."
    remedy = "Nothing was overwritten. Try again: a retry uses the stored object. A different object needs another key."


class KeyMissing(CodedError):
    code = "TMB-STORE-002"
    cause = "There is no object under this key."
    remedy = "Ask the party that owns the store: it has not written the object yet, or has deleted it."


class BadKey(CodedError):
    code = "TMB-STORE-003"
    cause = "An object key is too long or has characters that are not allowed."
    remedy = "Use at most 900 letters, digits, dots, dashes, underscores and slashes; no part between slashes may be `.` or `..`."


class StoreUnreachable(CodedError):
    code = "TMB-STORE-004"
    transient = True
    cause = "An object store does not answer."
    remedy = "Run `tombolo preflight`; check the store's address, the network, the proxy and the certificate authority."


class StoreRefused(CodedError):
    code = "TMB-STORE-005"
    cause = "An object store refused access."
    remedy = "Check credentials and policy: a party may write only to its own store, and read only `to-<party>/` of a peer."


class NotCreateOnly(CodedError):
    code = "TMB-STORE-006"
    cause = "A store allowed an existing object to be overwritten."
    remedy = "Use a server that supports conditional writes (If-None-Match), because artifacts must never change."


class BadStoreAddress(CodedError):
    code = "TMB-STORE-007"
    cause = "A store's address cannot be used."
    remedy = "Use file:///folder, s3://bucket/prefix?endpoint=https://host or airflow://connection, without secrets in it."


class TooLarge(CodedError):
    code = "TMB-STORE-008"
    cause = "An object or a listing in a store is larger than anything that its owner has to write there."
    remedy = "Ask the party that owns the store: another program may write into it. The reader stopped before it read the rest."


@dataclass(frozen=True)
class Stat:
    """The size of an object in bytes, and when it was written (UTC)."""

    size: int
    modified: datetime


class Readable(Protocol):
    """What Tombolo needs from the store of a peer. Whoever reads says how much it takes, because the owner may be hostile."""

    @property
    def url(self) -> str:
        """The store's address, without credentials."""

    def get(self, key: str, most: int) -> bytes:
        """Read an object of at most ``most`` bytes. Raises :class:`KeyMissing` or :class:`TooLarge`."""

    def list(self, prefix: str = "", most: int = MOST_KEYS) -> list[str]:
        """At most ``most`` keys that start with ``prefix``, sorted. Raises :class:`BadKey` or :class:`TooLarge`."""

    def stat(self, key: str) -> Stat:
        """Size and time of an object, as the store says. Raises :class:`KeyMissing`."""


class Store(Protocol):
    """What Tombolo needs from a store. A store must work in several threads, and in the new process after a fork."""

    @property
    def url(self) -> str:
        """The store's address, without credentials."""

    def put(self, key: str, data: bytes, permanent: bool = False) -> None:
        """Write a new object, completely or not at all. Raises :class:`KeyTaken` if the key exists.

        A ``permanent`` object is locked against deletion, if the store can do that (S3: a legal hold).
        """

    def get(self, key: str, most: int = ANY_SIZE) -> bytes:
        """Read an object. Raises :class:`KeyMissing`, or :class:`TooLarge` as soon as it has read more than ``most`` bytes.

        It counts the bytes that come, and trusts no size that the other side states.
        """

    def list(self, prefix: str = "", most: int = MOST_KEYS) -> list[str]:
        """All keys that start with ``prefix``, sorted. Raises :class:`BadKey` if no key can start with it.

        Raises :class:`TooLarge` if there are more than ``most``.
        """

    def delete(self, key: str) -> None:
        """Delete an object. A missing object is not an error."""

    def stat(self, key: str) -> Stat:
        """Size and time of an object. Raises :class:`KeyMissing`."""


def holds(store: Readable, key: str) -> bool:
    """Whether a store has an object. It needs only the right to list, as peers have it."""
    return key in store.list(key, _NEIGHBOURS)


def is_key(text: str) -> bool:
    """Whether ``text`` is a valid object key. Lists of keys leave out other names (see :func:`check_key`)."""
    return len(text) <= MAX_KEY_BYTES and all(
        _SEGMENT.fullmatch(part) and part not in (".", "..") and len(part) <= MAX_SEGMENT_BYTES for part in text.split("/")
    )


def check_key(key: str) -> str:
    """Return ``key`` if it is a valid key. Raises :class:`BadKey`."""
    if not is_key(key):
        raise BadKey(f"The key has {len(key)} characters; each part between slashes may have at most {MAX_SEGMENT_BYTES}.")
    return key


def check_prefix(prefix: str) -> str:
    """Return ``prefix`` if a key can start with it. Raises :class:`BadKey`."""
    if prefix and not is_key(prefix) and not is_key(prefix + "x"):
        raise BadKey(f"No key can start with this prefix of {len(prefix)} characters.")
    return prefix
