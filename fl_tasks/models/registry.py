"""The registry of published models: one record per version in the party's private area. A record is never changed.

The name of a version is the name of the training run that made it; it is the same at every party. A party's record holds the digest
of the file with its part. The file is kept next to the record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tombolo.fl_tasks.models.state import PARTS, RECORDS
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.storage.errors import CodedError

SCHEMA = "tombolo.model/1"


class NoSuchModel(CodedError):
    code = "TMB-MODEL-007"
    cause = "This party has not published the named model version."
    remedy = "The console lists the published versions under Models. To predict with another one, publish it at every party first."


class AlteredPart(CodedError):
    code = "TMB-MODEL-011"
    cause = "The stored part of a published model was changed: its digest is not the one in its record."
    remedy = "Restore this party's store from a backup, or publish a new version."


def publish_record(context: PartyContext, version: str, record: Mapping[str, Any], part: bytes | None) -> dict[str, Any]:
    """Keep the record of a version, and this party's ``part`` if it has one. Returns the record that was written first."""
    named = None if part is None else hashlib.sha256(context.state().keep(PARTS.of(version), part)).hexdigest()
    stamped = {"schema": SCHEMA, "version": version, "published": _now(), "part": named, **record}
    return context.state().keep(RECORDS.of(version), stamped)


def load(context: PartyContext, version: str | None = None) -> dict[str, Any]:
    """The record of a version, or of the latest one. Raises :class:`NoSuchModel`."""
    wanted = version or latest_version(context)
    record = context.state().get(RECORDS.of(wanted)) if wanted else None
    if record is None:
        raise NoSuchModel(f"Version {wanted}." if wanted else "No version is published yet.", party=context.me)
    return record


def load_part(context: PartyContext, version: str) -> bytes | None:
    """The file of this party's part of a version, None if it has none. Raises :class:`NoSuchModel`, :class:`AlteredPart`."""
    named = load(context, version)["part"]
    if named is None:
        return None
    stored = context.state().get(PARTS.of(version)) or b""
    if hashlib.sha256(stored).hexdigest() != named:
        raise AlteredPart(f"Version {version}.", party=context.me)
    return stored


def versions(context: PartyContext) -> list[dict[str, Any]]:
    """All records of this party, oldest first."""
    state = context.state()
    records = [state[item] for item in state.all(RECORDS)]
    return sorted(records, key=lambda record: (record["published"], record["version"]))


def latest_version(context: PartyContext) -> str | None:
    """The version published last, or None."""
    records = versions(context)
    return str(records[-1]["version"]) if records else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
