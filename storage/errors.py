"""Coded errors: every failure a user can meet has a stable code, a one-line cause and a one-line remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

REGISTRY: dict[str, type[CodedError]] = {}


class CodedError(Exception):
    """Base of all errors that Tombolo raises on purpose.

    A subclass sets ``code`` (``TMB-<AREA>-<NNN>``, never reused), ``cause`` and ``remedy``. ``detail`` narrows the cause
    for one occurrence; it never carries a data value, a key or a secret. ``party`` and ``step`` say where it happened and
    may be filled in later by :meth:`at`, when the error passes through somebody who knows.
    """

    code: ClassVar[str] = "TMB-CORE-000"
    cause: ClassVar[str] = "An unexpected failure."
    remedy: ClassVar[str] = "Read the task's log; report it with the code if it persists."

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "code" in cls.__dict__:
            other = REGISTRY.setdefault(cls.code, cls)
            if other is not cls and other.__qualname__ != cls.__qualname__:
                raise TypeError(f"error code {cls.code} is taken by {other.__qualname__}")

    def __init__(self, detail: str = "", *, party: str | None = None, step: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.party = party
        self.step = step

    def at(self, party: str | None = None, step: str | None = None) -> CodedError:
        """Fill in party and step where they are not known yet; returns the error itself for ``raise ... .at()``."""
        self.party = self.party or party
        self.step = self.step or step
        return self

    def __str__(self) -> str:
        where = ", ".join(f"{k} {v}" for k, v in (("party", self.party), ("step", self.step)) if v)
        text = f"{self.code}{f' ({where})' if where else ''}: {self.cause}"
        if self.detail:
            text += f" {self.detail}"
        return f"{text} Remedy: {self.remedy}"


@contextmanager
def blame(party: str) -> Iterator[None]:
    """What goes wrong in here is the fault of ``party``, whose message is being read, unless the error names another."""
    try:
        yield
    except CodedError as error:
        raise error.at(party) from None
