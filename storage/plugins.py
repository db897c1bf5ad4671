"""Finds plug-ins: protocols, stores and table sources are entry points of installed distributions, the built-in ones too.

Nothing of a foreign distribution is imported unless the party's settings allow that distribution by name. Whatever is wrong with a
plug-in is a coded error for whoever asks for it, and stops nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from tombolo.storage.errors import CodedError

OWN = "tombolo"
"""The distribution that this code comes from; its entry points are always allowed."""


class NoSuchPlugin(CodedError):
    code = "TMB-PLUGIN-001"
    cause = "No installed distribution offers what the agreement or the settings name."
    remedy = "Choose one of those listed, or install the distribution that offers it; tombolo itself must be installed too."


class PluginNotAllowed(CodedError):
    code = "TMB-PLUGIN-002"
    cause = "A plug-in is installed, but this party's settings do not allow it."
    remedy = "Name its distribution under `plugins:` in the party settings file, if this organisation trusts it."


class PluginClash(CodedError):
    code = "TMB-PLUGIN-003"
    cause = "Two allowed distributions offer a plug-in of the same name."
    remedy = "Allow or install only one of them."


class BrokenPlugin(CodedError):
    code = "TMB-PLUGIN-004"
    cause = "A plug-in cannot be loaded, or is not what its entry point promises."
    remedy = "Install the plug-in's distribution anew, in a version for this version of Tombolo."


@dataclass(frozen=True)
class Plugin:
    """One entry point: what it is called, who offers it, and the object itself."""

    name: str
    distribution: str
    version: str
    offered: Any


def offered(group: str, allowed: Collection[str] = ()) -> list[str]:
    """Names that may be asked for in a group, sorted."""
    return sorted({point.name for point in _points(group) if _allowed(point, allowed)})


def find(group: str, name: str, allowed: Collection[str] = ()) -> Plugin:
    """The plug-in of a group that is called ``name``, imported now.

    ``allowed`` are distributions besides Tombolo's own. Raises :class:`NoSuchPlugin`, :class:`PluginNotAllowed`,
    :class:`PluginClash` or :class:`BrokenPlugin`.
    """
    named = [point for point in _points(group) if point.name == name]
    usable = {_distribution(point): point for point in named if _allowed(point, allowed)}
    if not usable and named:
        raise PluginNotAllowed(f"{name} comes from {', '.join(sorted(map(_distribution, named)))}.")
    if not usable:
        raise NoSuchPlugin(f"There is no {name}; there is {', '.join(offered(group, allowed)) or 'nothing'}.")
    if len(usable) > 1:
        raise PluginClash(f"{name} comes from {', '.join(sorted(usable))}.")
    ((distribution, point),) = usable.items()
    try:
        loaded = point.load()
    except (Exception, SystemExit) as error:  # a plug-in may fail in any way when it is imported; its text is not ours to show
        raise BrokenPlugin(f"{name} of {distribution}: {type(error).__name__}.") from error
    return Plugin(name, distribution, point.dist.version if point.dist else "", loaded)


@cache
def _points(group: str) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))


def _distribution(point: EntryPoint) -> str:
    """The distribution's name in the form that compares (PEP 503)."""
    return re.sub(r"[-_.]+", "-", point.dist.name if point.dist else "").lower()


def _allowed(point: EntryPoint, allowed: Collection[str]) -> bool:
    return _distribution(point) in {OWN, *(re.sub(r"[-_.]+", "-", one).lower() for one in allowed)}
