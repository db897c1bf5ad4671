"""Coded errors: every failure that a user can meet has a fixed code, a cause and a remedy of one line each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import ClassVar
from unicodedata import category

REGISTRY: dict[str, type[CodedError]] = {}
_DEFINED = re.compile(r'^    code = "(TMB-[A-Z]+-[0-9]{3})"$', re.MULTILINE)


def shown(text: str, most: int = 2000) -> str:
    """Text of which a part may come from a peer, for a log or a page: one line of printable characters, cut to ``most``."""
    clean = "".join(one if one.isprintable() or category(one) == "Zs" else " " if one.isspace() else "?" for one in text[:most])
    return clean if len(text) <= most else f"{clean}..."


class CodedError(Exception):
    """Base of all errors that Tombolo raises on purpose.

    A subclass sets ``code`` (``TMB-<AREA>-<NNN>``, never used twice), ``cause`` and ``remedy``. It sets ``transient`` if the
    failure may go away by itself; the task is then tried again. ``detail`` says more about one occurrence, in printable characters;
    it never contains a data value, a key or a secret. ``party`` and ``step`` say where it happened. Code that knows them fills them
    in with :meth:`at`.
    """

    code: ClassVar[str] = "TMB-CORE-000"
    cause: ClassVar[str] = "An unexpected failure."
    remedy: ClassVar[str] = "Read the task's log; if the failure comes again, report the log with the code."
    transient: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "code" in cls.__dict__:
            other = REGISTRY.setdefault(cls.code, cls)
            if other is not cls and other.__qualname__ != cls.__qualname__:
                raise TypeError(f"error code {cls.code} is taken by {other.__qualname__}")

    def __init__(self, detail: str = "", *, party: str | None = None, step: str | None = None) -> None:
        self.detail = self.readable(detail)
        super().__init__(self.detail)
        self.party = party
        self.step = step

    @staticmethod
    def readable(detail: str) -> str:
        """The detail on one line and of limited length, because a part of it may come from a peer."""
        return shown(detail)

    def at(self, party: str | None = None, step: str | None = None) -> CodedError:
        """Fill in party and step if they are still empty; returns the error itself, for ``raise ... .at()``."""
        self.party = self.party or party
        self.step = self.step or step
        return self

    def failure(self, me: str) -> Failure:
        """What the peers learn when this error ends a run at party ``me``: never ``detail``, and not the party in ``party``."""
        return Failure(me, self.step or "", type(self).code, type(self).cause, by=me)  # an instance may have another cause

    def words(self) -> tuple[str, str]:
        """The detail and the remedy, as they are shown."""
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
    """Why a run ends: the party and the step that failed, and the code with its cause. Every party passes it on unchanged.

    ``step`` is empty if it is not known. ``by`` is the party that reports the failure: ``party`` itself, or a party that passed it
    on. ``cause`` may be the text of a peer; show :attr:`meaning` to people.
    """

    party: str
    step: str
    code: str
    cause: str
    by: str

    def document(self) -> dict[str, str]:
        """The failure as a JSON document."""
        return asdict(self)

    @property
    def meaning(self) -> str:
        """The cause in the words of this installation; if it does not know the code, the peer's text in quotes."""
        error = known(self.code)
        return error.cause if error else f'This installation does not know the code. {self.by} says: "{self.cause}"'

    @property
    def remedy(self) -> str:
        """This installation's own remedy. Remedies are never sent, so a peer cannot put its advice into another party's log."""
        error = known(self.code)
        return error.remedy if error else f"Ask {self.party} what the code means; start a new run when it is repaired."

    def __str__(self) -> str:
        reported = "" if self.by == self.party else f"{self.by} says that "
        return f"{reported}{self.party} failed{f' at {self.step}' if self.step else ''} with {self.code}: {self.meaning}"


def known(code: str) -> type[CodedError] | None:
    """The class of a code; None if this installation does not have it. Imports the module of the class if needed."""
    if code not in REGISTRY and code in homes():
        with suppress(ImportError):
            import_module(homes()[code])
    return REGISTRY.get(code)


@cache
def homes() -> dict[str, str]:
    """The module of each code. It is read from the source files, because importing every module takes seconds."""
    root, modules = Path(__file__).parents[1], {}
    for path in (path for folder in root.iterdir() for path in folder.rglob("*.py")):
        module = ".".join((__name__.partition(".")[0], *path.relative_to(root).with_suffix("").parts))
        modules.update(dict.fromkeys(_DEFINED.findall(path.read_text(encoding="utf-8")), module))
    return modules


@contextmanager
def blame(party: str) -> Iterator[None]:
    """Coded errors raised inside name ``party``, whose message is being read, unless they name another party already."""
    try:
        yield
    except CodedError as error:
        raise error.at(party) from None
