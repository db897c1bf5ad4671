"""The manifests: each joined run's is the one that the record and the block name, and all participants signed it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.agreement import Link
from contracts.manifest import Manifest
from fl_tasks.audit.findings import Audit, Differs, Missing
from fl_tasks.audit.record import Record
from fl_tasks.audit.source import Source, read_document, run_key, runs_with
from fl_tasks.stages.join import MANIFEST_DOMAIN
from storage.stores.base import KeyMissing

PART = "manifests"


def check_manifests(audit: Audit, source: Source, record: Record, blocks: Mapping[int, Mapping[str, Any]]) -> None:
    """Look at the manifest of every run that has one or should have one."""
    settled = {kept["block"]["run"]: kept["block"]["manifest"] for kept in blocks.values()}
    for run in sorted({*runs_with(source, "manifest"), *record.manifests, *settled}):
        key = run_key(source, run, "manifest")
        with audit.at(PART, key):
            manifest = Manifest.from_document(read_document(source, key))
            link = _link(source, manifest)
            named = {record.manifests.get(run, manifest.digest), settled.get(run, manifest.digest)}
            if named != {manifest.digest} or manifest.invitation.run != run:
                raise Differs("The record or the block names another manifest.")
            if [join.party for join in manifest.joins] != sorted(link.members):
                raise Differs("Its participants are not the members of the agreement.")
            audit.count(PART, "manifests")
            for party, member in link.members.items():
                signature = run_key(source, run, f"signatures/{party}")
                with audit.at(PART, signature):
                    member.verify.verify(_read(source, signature), MANIFEST_DOMAIN, bytes.fromhex(manifest.digest))
                    audit.count(PART, "signatures")


def _link(source: Source, manifest: Manifest) -> Link:
    """The agreement as of the manifest."""
    for link in source.agreement.chain:
        if (source.agreement.name, link.digest) == (manifest.invitation.agreement, manifest.invitation.agreement_digest):
            return link
    raise Differs("It was made under another agreement.")


def _read(source: Source, key: str) -> bytes:
    try:
        return source.read(key)
    except KeyMissing:
        raise Missing() from None
