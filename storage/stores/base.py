"""The store protocol: create-only put, get, list by prefix, delete by retention, stat."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tombolo.storage.errors import CodedError

MAX_KEY_BYTES = 900
MAX_SEGMENT_BYTES = 255  # what file systems take as one name, so that every key fits every store
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")


class KeyTaken(CodedError):
    code = "TMB-STORE-001"
    cause = "The object exists; stores are create-only."
    remedy = "Nothing was overwritten. A retry adopts what is stored; anything else needs another key."


class KeyMissing(CodedError):
    code = "TMB-STORE-002"
    cause = "There is no object under this key."
    remedy = "Its writer has not written it yet, or retention removed it."


class BadKey(CodedError):
    code = "TMB-STORE-003"
    cause = "An object key may hold segments of letters, digits, dot, dash and underscore, 900 bytes in all."
    remedy = "Use shorter names without other characters; `.` and `..` are not segments."


class StoreUnreachable(CodedError):
    code = "TMB-STORE-004"
    transient = True
    cause = "An object store does not answer."
    remedy = "Check address, network, proxy and certificate authority with `tombolo preflight`."


class StoreRefused(CodedError):
    code = "TMB-STORE-005"
    cause = "An object store refused access."
    remedy = "A party writes to its own store only and reads its own prefix of a peer's; check credentials and policy."


class NotCreateOnly(CodedError):
    code = "TMB-STORE-006"
    cause = "A store let an existing object be overwritten."
    remedy = "Use a server that honours conditional writes (If-None-Match); artifacts must never change."


class BadStoreAddress(CodedError):
    code = "TMB-STORE-007"
    cause = "A store's address cannot be used."
    remedy = "Use file:///folder, s3://bucket/prefix?endpoint=https://host or airflow://connection; never put secrets into it."


@dataclass(frozen=True)
class Stat:
    """Size in bytes and time of writing (UTC) of an object."""

    size: int
    modified: datetime


class Store(Protocol):
    """What Tombolo asks of an object store. Implementations may be shared by threads and opened again after a fork."""

    @property
    def url(self) -> str:
        """Where the store is, without credentials."""

    def put(self, key: str, data: bytes, permanent: bool = False) -> None:
        """Write a new object, whole or not at all; raises :class:`KeyTaken` where the key exists.

        A ``permanent`` one is put under the store's own lock against deletion, where it has one (S3: a legal hold).
        """

    def get(self, key: str) -> bytes:
        """Read an object; raises :class:`KeyMissing`."""

    def list(self, prefix: str = "") -> list[str]:
        """All keys that start with ``prefix``, sorted; raises :class:`BadKey` where none can."""

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is no error."""

    def stat(self, key: str) -> Stat:
        """Size and time of an object; raises :class:`KeyMissing`."""


def is_key(text: str) -> bool:
    """Whether ``text`` is an object key; for listings, where foreign names are passed over (see :func:`check_key`)."""
    return len(text) <= MAX_KEY_BYTES and all(
        _SEGMENT.fullmatch(part) and part not in (".", "..") and len(part) <= MAX_SEGMENT_BYTES for part in text.split("/")
    )


def check_key(key: str) -> str:
    """Return ``key`` if it is one; raises :class:`BadKey`."""
    if not is_key(key):
        raise BadKey(f"A key of {len(key)} characters; a segment has {MAX_SEGMENT_BYTES} at most.")
    return key


def check_prefix(prefix: str) -> str:
    """Return ``prefix`` if a key can start with it; raises :class:`BadKey`."""
    if prefix and not is_key(prefix) and not is_key(prefix + "x"):
        raise BadKey(f"A prefix of {len(prefix)} characters that no key begins with.")
    return prefix
