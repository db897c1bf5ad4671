"""What a protocol is: one light descriptor, which tells the rest of Tombolo all it needs to know and names the protocol's parts.

A protocol is a folder with a module ``protocol.py`` that holds a :class:`Protocol`. The object is an entry point of the group
``tombolo.protocols``. Terms, DAGs and forms are made from the descriptor, so it imports nothing heavy. Its parts (messages, role
programs, models, the reference) are named as ``module:attribute`` and loaded when they are needed.
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
"""``module:attribute``, loaded when it is needed."""


class TaskSection(Strict):
    """A section of a protocol's own terms in ``task``. Its properties are None if the section does not say."""

    @property
    def predicts(self) -> Outcome | None:
        """The kind of outcome that is predicted."""
        return None

    @property
    def class_count(self) -> int | None:
        """The number of classes."""
        return None

    @property
    def weight_column(self) -> str | None:
        """The column of row weights."""
        return None


@dataclass(frozen=True)
class Section:
    """One section of the task: its class, its defaults (None: the terms must give the section), and whether the terms may leave it
    out and then have none."""

    model: type[TaskSection]
    default: Mapping[str, Any] | None = None
    optional: bool = False


@dataclass(frozen=True)
class Role:
    """A role and how many parties have it; with ``most`` None, any number of parties may have it.

    ``tables`` are the kinds of run for which this role needs a table.
    """

    name: str
    least: int = 1
    most: int | None = 1
    tables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Engine:
    """One way to compute a protocol. ``programs`` names a :class:`tombolo.fl_tasks.runtime.programs.Programs`.

    ``discloses`` lists what a recipient may read of a sender's data, as ``message.column``; the conformance tests compare it
    with the declared messages. ``waiver`` must be signed for this engine, because of ``risk``. ``helper`` is a role that it
    needs. ``numbers`` says how many independent numbers a training gives about whose secrets: a function of a
    :class:`tombolo.fl_tasks.privacy.numbers.Shape` that returns a list of ``Numbers``. An engine that does not train has none.
    """

    programs: Part
    parameters: type[Parameters]
    discloses: frozenset[str]
    waiver: str | None = None
    risk: str = ""
    helper: str | None = None
    numbers: Part | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Protocol:
    """A protocol.

    ``wire`` is the version of its messages: parties with different versions do not train together. The keys of ``engines`` are the
    names that the terms use, the default first; a protocol without a choice of engines has the key None. ``model``, ``reference``
    and ``compare`` are parts (:mod:`tombolo.fl_tasks.models.family`, :mod:`tombolo.fl_tasks.workflow.comparison`). ``stages`` are
    the stages that only this protocol has, by name.
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
    """Raises ValueError if parties in these roles cannot run it. The numbers in ``roles`` are checked before."""
    check: Callable[[Terms], None] | None = None
    """Raises ValueError, as ``path: what is wrong``, if the terms do not fit."""
    unvalued: str | None = None
    """Why the scores of coalitions of its parties cannot be measured; None if they can."""
    unretrained: str | None = None
    """Why coalitions cannot train their own models; None if they can."""
    own_users: bool = False
    """Predictions are for the users of one party, without alignment. That party also learns from rows that only it has."""
    form: str = "A linear score over standardised columns"
    """What its model is, in words, for the model card."""
    state: Part | None = None
    """The private objects that its runs keep, in addition to those of the stages (:mod:`tombolo.fl_tasks.runtime.state`)."""
    page: str | None = None
    """The documentation page with its leakage table, as a path in ``docs/``."""
    model: Part | None = None
    reference: Part | None = None
    compare: Part | None = None
    table_check: Part | None = None
    """Checks of a party's table that only this protocol needs."""
    cost: Part | None = None
    """The privacy cost of the finished rounds of a run, for the record and the model card."""
    stages: Mapping[str, Part] = field(default_factory=dict)
    proposals: Mapping[str, Part] = field(default_factory=dict)
    """How a trigger form proposes a run of a kind, if it needs more than the run's parameters."""
    message_sets: Mapping[str, Part] = field(default_factory=dict)
    """More message sets, by name, in addition to those of the engines' programs."""

    def engine(self, name: str | None) -> Engine:
        """The engine with this name. Raises ValueError."""
        if name not in self.engines:
            able = ", ".join(str(engine) for engine in self.engines if engine)
            raise ValueError(
                f"engine: {self.name} has no {name}; choose {able}" if able else f"engine: {self.name} has no engines; leave it out"
            )
        return self.engines[name]

    @property
    def default_engine(self) -> str | None:
        """The name of the engine that is used if the terms name none."""
        return next(iter(self.engines))

    def role(self, name: str) -> Role | None:
        """The role with this name; None if the protocol has no such role."""
        return next((role for role in self.roles if role.name == name), None)

    def require_composition(self, task: TaskTerms, held: Iterable[str]) -> None:
        """Raise ValueError unless parties with the roles ``held`` can run it."""
        roles = list(held)
        strangers = sorted(set(roles) - {role.name for role in self.roles})
        counts = {role.name: roles.count(role.name) for role in self.roles}
        if strangers or any(not role.least <= counts[role.name] <= (role.most or counts[role.name]) for role in self.roles):
            raise ValueError(f"parties: {self.name} needs {', '.join(map(_wanted, self.roles))}, and nobody else")
        helper = self.engine(task.engine).helper
        if helper is not None and helper not in roles:
            raise ValueError(f"task.engine: {task.engine} needs an {helper}; choose another engine, or add one")
        if self.composition is not None:
            self.composition(task, roles)

    @staticmethod
    def load(part: Part) -> Any:
        """Import a part. Raises :class:`BrokenPlugin`."""
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
    """A protocol with its distribution and version, which the parties compare when they join a run."""

    protocol: Protocol
    distribution: str
    version: str

    @property
    def foreign(self) -> bool:
        """Whether the protocol comes from a plug-in."""
        return self.distribution != OWN


@contextmanager
def blamed(offered: Offered) -> Iterator[None]:
    """Turn errors in the code of a plug-in's protocol into :class:`BrokenPlugin`.

    Coded errors pass, and so do ValueErrors, which say that terms are wrong.
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
    """The protocol named ``name``, from Tombolo or from one of the ``allowed`` distributions.

    Raises NoSuchPlugin, which lists the known protocols, and the other errors of :func:`tombolo.storage.plugins.find`.
    """
    plugin = find(GROUP, name, allowed)
    if not isinstance(plugin.offered, Protocol) or plugin.offered.name != name:
        raise BrokenPlugin(f"{name} of {plugin.distribution} is not a protocol with that name.")
    return Offered(plugin.offered, plugin.distribution, plugin.version)
