"""The manifests: the manifest of each joined run is the one that record and block name, and its participants have signed it.

Where a run may begin without some clients, enough of the clients on the list have signed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tombolo.agreements.agreement import Link
from tombolo.agreements.horizontal import HorizontalTerms
from tombolo.agreements.manifest import MANIFEST_DOMAIN, Manifest
from tombolo.agreements.terms import Terms
from tombolo.fl_tasks.learning.horizontal.secagg.lists import least_clients
from tombolo.fl_tasks.ledger.audit.findings import Audit, Differs, Missing
from tombolo.fl_tasks.ledger.audit.record import RecordSummary
from tombolo.fl_tasks.ledger.audit.source import AuditSource, read_document, run_key, runs_with
from tombolo.fl_tasks.runtime.state import MANIFEST, SIGNATURES
from tombolo.storage.roles import CLIENT
from tombolo.storage.stores.base import KeyMissing

PART = "manifests"


def check_manifests(audit: Audit, source: AuditSource, record: RecordSummary, blocks: Mapping[int, Mapping[str, Any]]) -> None:
    """Check the manifest of every run that has one or should have one."""
    settled = {kept["block"]["run"]: kept["block"]["manifest"] for kept in blocks.values()}
    for run in sorted({*runs_with(source, MANIFEST), *record.manifests, *settled}):
        key = run_key(source, run, MANIFEST)
        with audit.at(PART, key):
            manifest = Manifest.from_document(read_document(source, key))
            link = _link(source, manifest)
            named = {record.manifests.get(run, manifest.digest), settled.get(run, manifest.digest)}
            if named != {manifest.digest} or manifest.invitation.run != run:
                raise Differs("The record or the block names another manifest.")
            if not _may_be(manifest.parties, link, source.agreement.terms):
                raise Differs("Its participants are not members of the agreement, or they are too few.")
            audit.count(PART, "manifests")
            for party in _signers(source, run, manifest, link):
                signature = run_key(source, run, SIGNATURES.of(party))
                with audit.at(PART, signature):
                    link.members[party].verify.verify(_read(source, signature), MANIFEST_DOMAIN, bytes.fromhex(manifest.digest))
                    audit.count(PART, "signatures")


def _signers(source: AuditSource, run: str, manifest: Manifest, link: Link) -> list[str]:
    """Whose signatures must be there: all participants', without the clients that were too late to sign, if enough others have.

    At a party that took no part, the votes on the block stand for the clients' signatures.
    """
    clients = [party for party in manifest.parties if link.members[party].role == CLIENT]
    keys = {party: run_key(source, run, SIGNATURES.of(party)) for party in clients}
    signed = [party for party, key in keys.items() if key in source.names(key)]
    horizontal = source.agreement.terms.task.horizontal_terms
    absent = source.party not in manifest.parties
    enough = horizontal is not None and horizontal.absence != "wait" and (absent or len(signed) >= _least(horizontal, link))
    return [party for party in manifest.parties if party not in clients or party in signed or not enough]


def _link(source: AuditSource, manifest: Manifest) -> Link:
    """The part of the agreement's chain under which the manifest was made."""
    for link in source.agreement.chain:
        if (source.agreement.name, link.digest) == (manifest.invitation.agreement, manifest.invitation.agreement_digest):
            return link
    raise Differs("It was made under another agreement.")


def _may_be(parties: list[str], link: Link, terms: Terms) -> bool:
    """Whether a run of these parties was allowed: all members, or, if the terms allow absent clients, enough of the clients."""
    horizontal, everybody = terms.task.horizontal_terms, sorted(link.members)
    if horizontal is None or horizontal.absence == "wait":
        return parties == everybody
    clients = [name for name in everybody if link.members[name].role == CLIENT]
    there = [name for name in clients if name in parties]
    fits = parties == [name for name in everybody if name not in clients or name in there]
    return fits and len(there) >= _least(horizontal, link)


def _least(horizontal: HorizontalTerms, link: Link) -> int:
    return least_clients(horizontal, sum(member.role == CLIENT for member in link.members.values()))


def _read(source: AuditSource, key: str) -> bytes:
    try:
        return source.read(key)
    except KeyMissing:
        raise Missing() from None
