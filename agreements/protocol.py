"""What a protocol is: one light descriptor that says all that the rest of Tombolo needs to know of it, and names its parts.

A protocol is a folder with a module ``protocol.py`` that holds a :class:`Protocol`, offered as an entry point of the group
``tombolo.protocols``. The descriptor imports nothing heavy: terms files, DAGs and forms are made from it. Its parts (messages, role
programs, models, the pooled reference) are named as ``module:attribute`` and loaded when they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from tombolo.agreements.parameters import Parameters
from tombolo.agreements.tables import Strict
from tombolo.storage.errors import CodedError
from tombolo.storage.plugins import OWN, BrokenPlugin, find

if TYPE_CHECKING:
    from tombolo.agreements.task import TaskTerms
    from tombolo.agreements.terms import Terms

GROUP = "tombolo.protocols"
Family = Literal["vertical", "horizontal", "query"]
Outcome = Literal["number", "binary", "classes"]
Part = str
"""``module:attribute``, loaded late."""


class TaskSection(Strict):
    """A protocol's own terms, under a name of its own in the terms' task; its properties say what is predicted, if it
    knows."""

    @property
    def predicts(self) -> Outcome | None:
        """What kind of thing is predicted, where these terms say so."""
        return None

    @property
    def class_count(self) -> int | None:
        """How many classes there are, where these terms say so."""
        return None

    @property
    def weight_column(self) -> str | None:
        """The column of row weights, where these terms name one."""
        return None


@dataclass(frozen=True)
class Section:
    """One section of the task: its model, what it holds where the terms leave it out (None: it must be given), and whether it may
    be left out altogether."""

    model: type[TaskSection]
    default: Mapping[str, Any] | None = None
    optional: bool = False


@dataclass(frozen=True)
class Role:
    """A role and how many parties have it; ``most`` is None where there may be any number.

    ``tables`` are the kinds of run for which this role needs a table.
    """

    name: str
    least: int = 1
    most: int | None = 1
    tables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Engine:
    """One way to compute a protocol. ``programs`` names a :class:`tombolo.fl_tasks.runtime.programs.Programs`.

    ``discloses`` pins what a recipient may read of a sender's data, as ``message.column``; the conformance tests compare it
    with the declared messages. ``waiver`` must be signed for this engine, because of ``risk``. ``helper`` is a role that it
    cannot do without.
    """

    programs: Part
    parameters: type[Parameters]
    discloses: frozenset[str]
    waiver: str | None = None
    risk: str = ""
    helper: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Protocol:
    """A protocol.

    ``wire`` is the version of its messages: parties with different ones do not train together. ``engines`` are by the name that the
    terms use, the default first; None stands for a protocol that has no choice of engines. ``model``, ``reference`` and ``compare``
    are parts (:mod:`tombolo.fl_tasks.models.family`, :mod:`tombolo.fl_tasks.workflow.comparison`). ``stages`` are stages of
    its own, by name.
    """

    name: str
    title: str
    family: Family
    roles: tuple[Role, ...]
    engines: Mapping[str | None, Engine]
    wire: int = 1
    kinds: tuple[str, ...] = ("train", "predict")
    outcome: Outcome = "binary"
    sections: Mapping[str, Section] = field(default_factory=dict)
    labelled: bool = True
    waivers: tuple[str, ...] = ()
    composition: Callable[[TaskTerms, Collection[str]], None] | None = None
    """Raises ValueError where parties in these roles cannot run it; besides what ``roles`` say."""
    check: Callable[[Terms], None] | None = None
    """Raises ValueError, as ``path: what is wrong``, on terms that do not fit."""
    unvalued: str | None = None
    """Why coalitions of its parties cannot be valued by their scores; None where they can."""
    unretrained: str | None = None
    """Why coalitions may not train anew; None where they may."""
    own_users: bool = False
    """A prediction is for the users of one party, aligned with nobody; that party also learns from rows that no other has."""
    form: str = "A linear score over standardised columns"
    """What a model of it is, for the model card."""
    state: Part | None = None
    """The private objects that its runs keep besides those of the stages (:mod:`tombolo.fl_tasks.runtime.state`)."""
    page: str | None = None
    """The documentation page with its leakage table, below ``docs/``."""
    model: Part | None = None
    reference: Part | None = None
    compare: Part | None = None
    table_check: Part | None = None
    """Checks a party's table beyond what all protocols ask of it."""
    cost: Part | None = None
    """What the finished rounds of a run cost in privacy, for the record and the model card."""
    stages: Mapping[str, Part] = field(default_factory=dict)
    proposals: Mapping[str, Part] = field(default_factory=dict)
    """How a run of a kind is proposed from a trigger form, where that takes more than its parameters."""
    message_sets: Mapping[str, Part] = field(default_factory=dict)
    """Further sets of messages, by name, besides those of the engines' programs."""

    def engine(self, name: str | None) -> Engine:
        """An engine by the name that the terms use. Raises ValueError."""
        if name not in self.engines:
            able = ", ".join(str(one) for one in self.engines if one)
            raise ValueError(f"engine: {self.name} runs on {able}" if able else f"engine: {self.name} has none")
        return self.engines[name]

    @property
    def default_engine(self) -> str | None:
        """The engine that is meant where the terms name none."""
        return next(iter(self.engines))

    def role(self, name: str) -> Role | None:
        """A role by its name, None where the protocol has no such role."""
        return next((one for one in self.roles if one.name == name), None)

    def require_composition(self, task: TaskTerms, held: Iterable[str]) -> None:
        """Raise ValueError unless parties in these roles can run it."""
        roles = list(held)
        strangers = sorted(set(roles) - {one.name for one in self.roles})
        counts = {one.name: roles.count(one.name) for one in self.roles}
        if strangers or any(not one.least <= counts[one.name] <= (one.most or counts[one.name]) for one in self.roles):
            raise ValueError(f"parties: {self.name} needs {', '.join(map(_wanted, self.roles))}, and nobody else")
        helper = self.engine(task.engine).helper
        if helper is not None and helper not in roles:
            raise ValueError(f"task.engine: {task.engine} needs an {helper}; choose another engine, or add one")
        if self.composition is not None:
            self.composition(task, roles)

    @staticmethod
    def load(part: Part) -> Any:
        """A part. Raises :class:`BrokenPlugin`."""
        module, _, attribute = part.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except Exception as error:
            raise BrokenPlugin(f"{part}: {type(error).__name__}.") from error


def _wanted(role: Role) -> str:
    few = ("no", "one", "two", "three")
    least, most = (str(number) if number is None or number > 3 else few[number] for number in (role.least, role.most))
    if role.most is None:
        return f"at least {least} {role.name}{'' if role.least == 1 else 's'}"
    if role.least == role.most:
        return f"exactly {least} {role.name}"
    return f"at most {most} {role.name}" if role.least == 0 else f"{least} to {most} {role.name}s"


@dataclass(frozen=True)
class Offered:
    """A protocol with who offers it: what parties compare when they join a run."""

    protocol: Protocol
    distribution: str
    version: str

    @property
    def foreign(self) -> bool:
        """Whether the protocol comes from a plug-in."""
        return self.distribution != OWN


@contextmanager
def blamed(offered: Offered) -> Iterator[None]:
    """What a foreign protocol's own code raises, besides coded errors and what says that terms are wrong, is the plug-in's fault.

    Raises :class:`BrokenPlugin`.
    """
    try:
        yield
    except (CodedError, ValueError):
        raise
    except Exception as error:
        if not offered.foreign:
            raise
        raise BrokenPlugin(f"{offered.protocol.name} of {offered.distribution}: {type(error).__name__}.") from error


def protocol_named(name: str, allowed: Collection[str] = ()) -> Offered:
    """The protocol that the terms call ``name``; plug-ins only from ``allowed`` distributions.

    Raises NoSuchPlugin, which lists what there is, and what else :func:`tombolo.storage.plugins.find` raises.
    """
    plugin = find(GROUP, name, allowed)
    if not isinstance(plugin.offered, Protocol) or plugin.offered.name != name:
        raise BrokenPlugin(f"{name} of {plugin.distribution} is not a protocol of that name.")
    return Offered(plugin.offered, plugin.distribution, plugin.version)
