"""Finds plug-ins: protocols, stores and table sources are entry points of installed distributions, the built-in ones too.

Nothing of a foreign distribution is imported unless the party's settings allow that distribution by name. Whatever is wrong with a
plug-in raises a coded error where it is used; everything else goes on.
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
    remedy = "Choose one of those listed, or install the distribution that offers it. If none is listed, run `make install`."


class PluginNotAllowed(CodedError):
    code = "TMB-PLUGIN-002"
    cause = "A plug-in is installed, but nothing here allows it."
    remedy = (
        "If this organisation trusts the distribution, name it under `plugins:` in the party settings file; "
        "commands without settings take `--plugin NAME`."
    )


class PluginClash(CodedError):
    code = "TMB-PLUGIN-003"
    cause = "Two allowed distributions offer a plug-in of the same name."
    remedy = "Allow or install only one of them."


class BrokenPlugin(CodedError):
    code = "TMB-PLUGIN-004"
    cause = "A plug-in cannot be loaded, or is not what its entry point promises."
    remedy = "Install a version of the plug-in that fits this version of Tombolo."


@dataclass(frozen=True)
class Plugin:
    """One entry point: what it is called, who offers it, and the object itself."""

    name: str
    distribution: str
    version: str
    offered: Any


def offered(group: str, allowed: Collection[str] = ()) -> list[str]:
    """Sorted names that Tombolo and the allowed distributions offer in a group."""
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
        raise NoSuchPlugin(f"There is no {name}. Offered are: {', '.join(offered(group, allowed)) or 'none'}.")
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
    """The distribution's name, normalised as in PEP 503, so that names can be compared."""
    return re.sub(r"[-_.]+", "-", point.dist.name if point.dist else "").lower()


def _allowed(point: EntryPoint, allowed: Collection[str]) -> bool:
    return _distribution(point) in {OWN, *(re.sub(r"[-_.]+", "-", one).lower() for one in allowed)}
