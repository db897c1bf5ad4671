"""Finds plug-ins. Protocols, stores and table sources are entry points of installed distributions, also those of Tombolo.

A distribution other than Tombolo is imported only if the party's settings allow it by name. A broken plug-in raises a coded error
where it is used; everything else works.
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
"""The distribution of this code; its entry points are always allowed."""


class NoSuchPlugin(CodedError):
    code = "TMB-PLUGIN-001"
    cause = "The agreement or the settings name something that no installed distribution has."
    remedy = "Use a listed name, or install the distribution that has it. If none is listed, run `make install`."


class PluginNotAllowed(CodedError):
    code = "TMB-PLUGIN-002"
    cause = "A plug-in is installed, but this party does not allow it."
    remedy = (
        "If your organisation trusts the distribution, add it to `plugins:` in the party settings file; "
        "for a command without settings, add `--plugin NAME`."
    )


class PluginClash(CodedError):
    code = "TMB-PLUGIN-003"
    cause = "Two allowed distributions have a plug-in of the same name."
    remedy = "Allow or install only one of them."


class BrokenPlugin(CodedError):
    code = "TMB-PLUGIN-004"
    cause = "A plug-in cannot be loaded, or does not work as it must."
    remedy = "Install a version of the plug-in that fits this version of Tombolo."


@dataclass(frozen=True)
class Plugin:
    """One entry point: its name, its distribution with the version, and the object that it loads (``offered``)."""

    name: str
    distribution: str
    version: str
    offered: Any


def offered(group: str, allowed: Collection[str] = ()) -> list[str]:
    """The sorted names in a group, from Tombolo and the allowed distributions."""
    return sorted({point.name for point in _points(group) if _allowed(point, allowed)})


def find(group: str, name: str, allowed: Collection[str] = ()) -> Plugin:
    """Import the plug-in named ``name`` of a group.

    ``allowed`` are distributions that are allowed in addition to Tombolo. Raises :class:`NoSuchPlugin`,
    :class:`PluginNotAllowed`, :class:`PluginClash` or :class:`BrokenPlugin`.
    """
    named = [point for point in _points(group) if point.name == name]
    usable = {point.distribution: point for point in named if _allowed(point, allowed)}
    if not usable and named:
        raise PluginNotAllowed(f"{name} comes from {', '.join(sorted(point.distribution for point in named))}.")
    if not usable:
        raise NoSuchPlugin(f"There is no {name}. The names are: {', '.join(offered(group, allowed)) or 'none'}.")
    if len(usable) > 1:
        raise PluginClash(f"{name} comes from {', '.join(sorted(usable))}.")
    ((distribution, point),) = usable.items()
    try:
        loaded = point.entry.load()
    except (Exception, SystemExit) as error:  # a plug-in may raise anything; its text may hold a secret
        raise BrokenPlugin(f"{name} of {distribution}: {type(error).__name__}.") from error
    return Plugin(name, distribution, point.version, loaded)


@dataclass(frozen=True)
class _Point:
    """An entry point with its distribution, whose metadata take milliseconds to read."""

    name: str
    distribution: str
    version: str
    entry: EntryPoint


@cache
def _points(group: str) -> tuple[_Point, ...]:
    return tuple(
        _Point(entry.name, _normalised(entry.dist.name if entry.dist else ""), entry.dist.version if entry.dist else "", entry)
        for entry in entry_points(group=group)
    )


def _normalised(name: str) -> str:
    """A distribution's name, written as PEP 503 says to compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _allowed(point: _Point, allowed: Collection[str]) -> bool:
    return point.distribution in {OWN, *map(_normalised, allowed)}
