"""Coded errors: every failure a user can meet has a stable code, a one-line cause and a one-line remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import ClassVar

REGISTRY: dict[str, type[CodedError]] = {}
_DEFINED = re.compile(r'^    code = "(TMB-[A-Z]+-[0-9]{3})"$', re.MULTILINE)


class CodedError(Exception):
    """Base of all errors that Tombolo raises on purpose.

    A subclass sets ``code`` (``TMB-<AREA>-<NNN>``, never reused), ``cause`` and ``remedy``, and ``transient`` where the failure may
    pass by itself, so that the task is tried again. ``detail`` narrows the cause for one occurrence; it never carries a data
    value, a key or a secret. ``party`` and ``step`` say where it happened and may be filled in later by :meth:`at`, when the error
    passes through somebody who knows.
    """

    code: ClassVar[str] = "TMB-CORE-000"
    cause: ClassVar[str] = "An unexpected failure."
    remedy: ClassVar[str] = "Read the task's log; report it with the code if it persists."
    transient: ClassVar[bool] = False

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

    def failure(self, me: str) -> Failure:
        """What the peers are told when this error ends a run at party ``me``: never the detail, nor the party that it blames."""
        return Failure(me, self.step or "", type(self).code, type(self).cause, by=me)  # an instance may have texts of its own

    def words(self) -> tuple[str, str]:
        """What narrows the cause, and what helps."""
        return self.detail, self.remedy

    def __str__(self) -> str:
        where = ", ".join(f"{k} {v}" for k, v in (("party", self.party), ("step", self.step)) if v)
        text = f"{self.code}{f' ({where})' if where else ''}: {self.cause}"
        detail, remedy = self.words()
        if detail:
            text += f" {detail}"
        return f"{text} Remedy: {remedy}"


@dataclass(frozen=True)
class Failure:
    """Why a run ends: the party and the step where it began, and the code with its cause. Every party passes it on unchanged.

    ``step`` is empty where it is not known. ``by`` is the party whose word this is: ``party`` itself, or one that passed it on.
    ``cause`` may be a peer's text, so that people are shown :attr:`meaning`.
    """

    party: str
    step: str
    code: str
    cause: str
    by: str

    def document(self) -> dict[str, str]:
        return asdict(self)

    @property
    def meaning(self) -> str:
        """The cause in this installation's words; those of a peer are quoted where the code is not known here."""
        error = known(self.code)
        return error.cause if error else f'This code is not known here. {self.by} says: "{self.cause}"'

    @property
    def remedy(self) -> str:
        """This installation's own advice. None travels: a peer cannot make another party's log recommend something."""
        error = known(self.code)
        return error.remedy if error else f"Ask {self.party} what the code means, and start a new run when it is mended."

    def __str__(self) -> str:
        said = "" if self.by == self.party else f"{self.by} says that "
        return f"{said}{self.party} failed{f' at {self.step}' if self.step else ''} with {self.code}: {self.meaning}"


def known(code: str) -> type[CodedError] | None:
    """The class of a code, or None where this installation has none; its module is imported if it was not yet."""
    if code not in REGISTRY and code in homes():
        with suppress(ImportError):
            import_module(homes()[code])
    return REGISTRY.get(code)


@cache
def homes() -> dict[str, str]:
    """Module by code. It is read from the sources, in milliseconds: importing every module takes seconds."""
    root, found = Path(__file__).parents[1], {}
    for path in (path for folder in root.iterdir() for path in folder.rglob("*.py")):
        module = ".".join((__name__.partition(".")[0], *path.relative_to(root).with_suffix("").parts))
        found.update(dict.fromkeys(_DEFINED.findall(path.read_text(encoding="utf-8")), module))
    return found


@contextmanager
def blame(party: str) -> Iterator[None]:
    """What goes wrong in here is the fault of ``party``, whose message is being read, unless the error names another."""
    try:
        yield
    except CodedError as error:
        raise error.at(party) from None
