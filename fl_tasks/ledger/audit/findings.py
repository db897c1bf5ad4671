"""What an audit has checked, how much of it, and everything that it found wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tombolo.storage.errors import CodedError


class Missing(CodedError):
    code = "TMB-AUDIT-001"
    cause = "An object that the record, a block or the agreement names is missing."
    remedy = "Restore the object from a backup. If a block is missing, ask another party: it keeps the same block in its store."


class Differs(CodedError):
    code = "TMB-AUDIT-002"
    cause = "An object differs from what the record, a block or the agreement says about it."
    remedy = "Keep a copy of the object for the investigation. Then restore the object from a backup."


class CutOff(CodedError):
    code = "TMB-AUDIT-003"
    cause = "The record ends too early: a block or a booking is later than its end."
    remedy = "Restore the missing segments from a backup. After a crash, repeat the run's last task; it records what is missing."


class NeverBooked(CodedError):
    code = "TMB-AUDIT-004"
    cause = "The store has an object that this party never booked."
    remedy = "Find out who can write to the store. If a task crashed while sending, repeat that task; it books the artifact."


class Unreadable(CodedError):
    code = "TMB-AUDIT-005"
    cause = "An object is malformed."
    remedy = "Restore the object from a backup. If it is in a bundle, ask the party that made the bundle for a new one."


@dataclass(frozen=True)
class Finding:
    """One finding: the part of the audit, the name of the object, the error code, and what is wrong."""

    part: str
    name: str
    code: str
    what: str


class Audit:
    """The counts, by part of the audit and kind of object, and the findings. A wrong object never ends the audit."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.findings: list[Finding] = []

    def count(self, part: str, what: str, number: int = 1) -> None:
        """Count objects that were checked."""
        self.counts.setdefault(part, Counter())[what] += number

    def find(self, part: str, name: str, error: CodedError) -> None:
        """Add a finding."""
        self.counts.setdefault(part, Counter())
        text = f"{error.cause} {error.detail}" if error.detail else error.cause
        self.findings.append(Finding(part, name, error.code, text))

    @contextmanager
    def at(self, part: str, name: str) -> Iterator[None]:
        """Check one object: every error in it becomes a finding with the object's name."""
        try:
            yield
        except CodedError as error:
            self.find(part, name, error)
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError):  # a document of a wrong form
            self.find(part, name, Unreadable())

    def faulty(self) -> set[str]:
        """Names of the objects with findings."""
        return {finding.name for finding in self.findings}
