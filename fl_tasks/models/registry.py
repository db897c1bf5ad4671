"""The registry of published models: one create-only record per version in the party's private area, readable by it alone.

A version is named by the training run that made it, the same string at every party; each party's record names that party's part by
the digest of its file, which lies beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.storage.canonical import canonical, parse
from tombolo.storage.errors import CodedError
from tombolo.storage.private import PrivateArea

SCHEMA = "tombolo.model/1"
_LARGEST = 1 << 26


class NoSuchModel(CodedError):
    code = "TMB-MODEL-007"
    cause = "This party has not published the named model version."
    remedy = "List the versions that exist; publish the training run at every party before predicting with it."


class AlteredPart(CodedError):
    code = "TMB-MODEL-011"
    cause = "The stored part of a published model is not the one that its record names."
    remedy = "Restore this party's store from a copy, or publish a new version."


def _models(context: PartyContext) -> PrivateArea:
    return context.private.area("models")


def _parts(context: PartyContext) -> PrivateArea:
    return context.private.area("parts")


def publish_record(context: PartyContext, version: str, record: Mapping[str, Any], part: bytes | None) -> dict[str, Any]:
    """Keep a version's record, and the file of this party's ``part`` if it has one; returns the kept record: the first writer's."""
    named = None if part is None else hashlib.sha256(_parts(context).keep(version, part)).hexdigest()
    stamped = {"schema": SCHEMA, "version": version, "published": _now(), "part": named, **record}
    kept: dict[str, Any] = parse(_models(context).keep(version, canonical(stamped)), _LARGEST)
    return kept


def load(context: PartyContext, version: str | None = None) -> dict[str, Any]:
    """The record of a version, or of the latest one. Raises :class:`NoSuchModel`."""
    wanted = version or latest_version(context)
    stored = _models(context).get(wanted) if wanted else None
    if stored is None:
        raise NoSuchModel(f"Version {wanted}." if wanted else "No version is published yet.", party=context.me)
    record: dict[str, Any] = parse(stored, _LARGEST)
    return record


def load_part(context: PartyContext, version: str) -> bytes | None:
    """The file of this party's part of a version, None where it has none. Raises :class:`NoSuchModel`, :class:`AlteredPart`."""
    named = load(context, version)["part"]
    if named is None:
        return None
    stored = _parts(context).get(version) or b""
    if hashlib.sha256(stored).hexdigest() != named:
        raise AlteredPart(f"Version {version}.", party=context.me)
    return stored


def versions(context: PartyContext) -> list[dict[str, Any]]:
    """All records of this party, oldest first."""
    records = [load(context, name) for name in _models(context).names()]
    return sorted(records, key=lambda record: (record["published"], record["version"]))


def latest_version(context: PartyContext) -> str | None:
    """The version published last, or None."""
    records = versions(context)
    return str(records[-1]["version"]) if records else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
