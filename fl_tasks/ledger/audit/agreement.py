"""The agreement: terms and amendments follow each other, and every required member has signed."""

from __future__ import annotations

from tombolo.agreements.agreement import DOMAIN, Agreement, NotPinned, Unsigned
from tombolo.fl_tasks.ledger.audit.findings import Audit

PART = "agreement"


def check_agreement(audit: Audit, agreement: Agreement) -> None:
    """Check every signature. The digests were already compared when the folder was read."""
    audit.count(PART, "digests", len(agreement.chain))
    if not agreement.members:
        audit.find(PART, agreement.name, NotPinned())
    for link, member, signature in agreement.signatures():
        with audit.at(PART, f"{link.label}, signature of {member.name}"):
            if signature is None:
                raise Unsigned(f"The digest is {link.digest[:16]}....", party=member.name)
            member.verify.verify(signature, DOMAIN, bytes.fromhex(link.digest))
            audit.count(PART, "signatures")
