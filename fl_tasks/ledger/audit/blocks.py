"""The blocks: each is made final by its votes, made from its attestations, follows the block before, and is in the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tombolo.agreements.agreement import Agreement
from tombolo.fl_tasks.ledger.audit.findings import Audit, CutOff, Differs, Missing
from tombolo.fl_tasks.ledger.audit.record import RecordSummary
from tombolo.fl_tasks.ledger.audit.source import AuditSource, keys_over_time, numbered, objects_of, read_document, run_key
from tombolo.fl_tasks.ledger.settlement.state import BOOK, EVIDENCE, PAIR
from tombolo.storage.canonical import canonical, digest
from tombolo.storage.errors import CodedError
from tombolo.storage.identity import VerifyKey
from tombolo.storage.ledger import merkle
from tombolo.storage.ledger.block import DOMAIN as ATTESTED
from tombolo.storage.ledger.block import FIRST_PREVIOUS, Pair, read_attestation, verify_block
from tombolo.storage.ledger.chain import segment_key
from tombolo.storage.ledger.pairs import Line, Matched, summary
from tombolo.storage.ledger.signed import Signed
from tombolo.storage.ledger.voting import DOMAIN as VOTED

PART, PAIRS, PROOFS = "blocks", "reconciliation", "equivocation"
Kept = Mapping[str, Any]


def check_blocks(audit: Audit, source: AuditSource, record: RecordSummary) -> dict[int, Kept]:
    """Check every block; returns the documents of the valid blocks, by height."""
    verified: dict[int, Kept] = {}
    prefix, previous, top = f"ledger/{source.agreement.name}/blocks/", FIRST_PREVIOUS, 0
    for height, key in numbered(audit, PART, source, prefix):
        known, previous, top = previous if height == top + 1 else "", "", height
        with audit.at(PART, key):
            kept = read_document(source, key)
            block = _verified(kept, source.agreement, height)
            if known and block["previous"] != known:
                raise Differs("It does not follow the block before it.")
            previous, verified[height] = digest(block), kept
            with audit.at(PART, segment_key(source.agreement.name, record.length + 1)):
                _check_end(block, source.party, record)
            _check_against_record(block, source.party, record)
            audit.count(PART, "blocks")
            _prove_pairs(audit, block)
            audit.count(PART, "votes", len(kept["certificate"]))
            audit.count(PART, "attestations", len(kept["attestations"]))
    for height in sorted(height for height in record.settlements if height > top):
        audit.find(PART, f"{prefix}{height:09d}", Missing("The record names it as final."))
    return verified


def members_of(agreement: Agreement, block: Mapping[str, Any]) -> list[dict[str, VerifyKey]]:
    """The members whose votes may have made a block: the members under its agreement digest or a later amendment.

    The agreement may have been amended between the manifest of a run and its block. Only members that equal the block's parties
    count. Raises :class:`Differs` for an unknown digest.
    """
    digests = [link.digest for link in agreement.chain]
    if block["agreement"] != agreement.name or block["agreement_digest"] not in digests:
        raise Differs("It was made under another agreement.")
    later = agreement.chain[digests.index(block["agreement_digest"]) :]
    fitting = [link.members for link in later if sorted(link.members) == block["parties"]]
    if not fitting:
        raise Differs("Its parties are not the members of the agreement.")
    return [{name: member.verify for name, member in members.items()} for members in fitting]


def _verified(kept: Kept, agreement: Agreement, height: int) -> Mapping[str, Any]:
    """The block of a kept document, if its votes make it final and its attestations make the same block."""
    refused: CodedError = Differs()
    for members in members_of(agreement, kept["block"]):
        try:
            block = verify_block(kept, members)
        except CodedError as error:
            refused = error
            continue
        if block["height"] != height:
            raise Differs(f"It is block {block['height']}.")
        return block
    raise refused


def _prove_pairs(audit: Audit, block: Mapping[str, Any]) -> None:
    """Check that the summary of each pair leads to the block's root by its own proof, as a party could show it alone."""
    leaves = [merkle.leaf(canonical(pair)) for pair in block["pairs"]]
    for index, item in enumerate(leaves):
        merkle.verify_proof(item, index, len(leaves), merkle.proof(leaves, index), bytes.fromhex(block["entries_root"]))
        audit.count(PART, "proofs")


def _check_end(block: Mapping[str, Any], me: str, record: RecordSummary) -> None:
    """The record must not be shorter than this party attested, and must have the settlement. Raises :class:`CutOff`."""
    pinned = block["records"].get(me)
    if pinned and pinned["index"] > record.length:
        raise CutOff(f"Block {block['height']} pins segment {pinned['index']}.")
    if block["height"] not in record.settlements and record.whole:
        raise CutOff(f"The settlement of block {block['height']} is not in the record.")


def _check_against_record(block: Mapping[str, Any], me: str, record: RecordSummary) -> None:
    """The segment and the settlement in the record must be those of the block. Raises :class:`Differs`."""
    pinned = block["records"].get(me)
    if pinned and record.heads.get(pinned["index"], pinned["digest"]) != pinned["digest"]:
        raise Differs(f"It pins a segment {pinned['index']} that differs from the one in the record.")
    known = block["run"], digest(block)
    if record.settlements.get(block["height"], known) != known:
        raise Differs("The record names another block.")


def check_pairs(audit: Audit, source: AuditSource, record: RecordSummary, blocks: Mapping[int, Kept]) -> None:
    """Compute the summaries that this party attested from its kept books, and find the lines of the books in the record."""
    for kept in blocks.values():
        run = kept["block"]["run"]
        for attestation in map(Signed.from_json, kept["attestations"]):
            if attestation.party == source.party:
                for pair in _attested(attestation, source.agreement, kept["block"]):
                    peer = next(party for party in pair.parties if party != source.party)
                    _check_pair(audit, source, record, run, peer, pair)


def _attested(attestation: Signed, agreement: Agreement, block: Mapping[str, Any]) -> tuple[Pair, ...]:
    for members in members_of(agreement, block):
        try:
            return read_attestation(attestation, members[attestation.party]).pairs
        except CodedError:
            continue
    return ()


def _check_pair(audit: Audit, source: AuditSource, record: RecordSummary, run: str, peer: str, pair: Pair) -> None:
    secret, book = (run_key(source, run, item.of(peer)) for item in (PAIR, BOOK))
    lines: list[Line] = []
    with audit.at(PAIRS, book):
        lines = [Line(**line) for line in read_document(source, book)]
        _check_lines(lines, source.party, peer, record, run)
    if book in audit.faulty():
        return
    with audit.at(PAIRS, secret):
        kept = read_document(source, secret)
        ours = tuple(Line(**line) for line in kept["unmatched"]["ours"])
        matched = Matched(tuple(sorted(set(lines) - set(ours))), ours, ())
        own = summary(pair.parties, bytes.fromhex(kept["salt"]), matched) | {"unmatched": kept["unmatched"]["count"]}
        if own != pair.model_dump(mode="json"):
            raise Differs("The summary of the books differs from the attested summary.")
        audit.count(PAIRS, "pairs")
        audit.count(PAIRS, "lines", len(lines))


def _check_lines(lines: list[Line], me: str, peer: str, record: RecordSummary, run: str) -> None:
    names = record.names.get(run, {})
    for line in lines:
        booked = names.get(f"{'sent' if line.sender == me else 'received'}:{peer}/{line.address}")
        if booked is None and record.whole:
            raise Differs(f"The record does not have {line.address}.")
        if booked is not None and booked != (line.sha256, line.size, line.rows, line.kinds):
            raise Differs(f"The record has other facts about {line.address}.")


def check_evidence(audit: Audit, source: AuditSource) -> None:
    """Check kept proofs that a party signed two statements for one place: both signatures are valid and the statements differ."""
    for key, _, (party,) in objects_of(source, EVIDENCE):
        with audit.at(PROOFS, key):
            both = [Signed.from_json(statement) for statement in read_document(source, key)]
            differing = len({statement.body for statement in both}) >= 2
            if not differing or not all(_signed_by(statement, party, source.agreement) for statement in both):
                raise Differs("The two statements are equal, or one of them is not signed by the party.")
            audit.count(PROOFS, "proofs")


def _signed_by(statement: Signed, party: str, agreement: Agreement) -> bool:
    for key in keys_over_time(agreement, party):
        for domain in (ATTESTED, VOTED):
            try:
                statement.verify(key, domain)
            except CodedError:
                continue
            return statement.party == party
    return False
