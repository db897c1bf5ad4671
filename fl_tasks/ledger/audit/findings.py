"""What an audit has looked at, how much of it, and everything that it found wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tombolo.storage.errors import CodedError


class Missing(CodedError):
    code = "TMB-AUDIT-001"
    cause = "Something that the record, a block or the agreement names is not there."
    remedy = "Restore the object from a backup; a block is also in every other party's store."


class Differs(CodedError):
    code = "TMB-AUDIT-002"
    cause = "An object is not what the record, a block or the agreement says of it."
    remedy = "Keep it as it is for the investigation, and restore the object from a backup beside it."


class CutOff(CodedError):
    code = "TMB-AUDIT-003"
    cause = "The record ends too early: something later than its end is known."
    remedy = "Restore the missing segments from a backup; after a crash, let the task named in the record's last entries end."


class NeverBooked(CodedError):
    code = "TMB-AUDIT-004"
    cause = "There is an object that this party never booked."
    remedy = "Find out who can write to the store; after a crash in the middle of a sending, repeat the run's task."


class Unreadable(CodedError):
    code = "TMB-AUDIT-005"
    cause = "An object is malformed."
    remedy = "Restore the object from a backup; in a bundle, ask its party for a new one."


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: in which part of the audit, with which object, and what."""

    part: str
    name: str
    code: str
    what: str


class Audit:
    """Counts by part and kind of thing, and the findings. Looking at something bad never ends the audit."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.findings: list[Finding] = []

    def count(self, part: str, what: str, number: int = 1) -> None:
        """Count something that was checked."""
        self.counts.setdefault(part, Counter())[what] += number

    def find(self, part: str, name: str, error: CodedError) -> None:
        """Note something that is wrong."""
        self.counts.setdefault(part, Counter())
        text = f"{error.cause} {error.detail}" if error.detail else error.cause
        self.findings.append(Finding(part, name, error.code, text))

    @contextmanager
    def at(self, part: str, name: str) -> Iterator[None]:
        """Look at one object: whatever is wrong with it becomes a finding under its name."""
        try:
            yield
        except CodedError as error:
            self.find(part, name, error)
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError):  # a document of another shape
            self.find(part, name, Unreadable())

    def faulty(self) -> set[str]:
        """Names of the objects with findings."""
        return {finding.name for finding in self.findings}
