"""Reads a party's part of a model, of whatever kind: as training kept it, as it was published, or from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tombolo.fl_tasks.learning.linear_part import LinearPart
from tombolo.fl_tasks.learning.trees.part import TreePart
from tombolo.fl_tasks.models import registry
from tombolo.fl_tasks.models.part import ModelPart, UnfitPart
from tombolo.fl_tasks.models.tensors import from_file
from tombolo.fl_tasks.protocols.horizontal_mlp.model import NetworkPart
from tombolo.fl_tasks.protocols.transfer.model import TransferPart
from tombolo.fl_tasks.protocols.vertical_mlp.model import TowerPart
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.storage.errors import CodedError

_KINDS: tuple[type[ModelPart], ...] = (LinearPart, TreePart, NetworkPart, TowerPart, TransferPart)
_BY_PROTOCOL = {name: kind for kind in _KINDS for name in kind.PROTOCOLS}


class NotTrained(CodedError):
    code = "TMB-MODEL-005"
    cause = "This party holds no finished model of the run."
    remedy = "Let the training stage of that run finish at this party first."


def part_of_run(context: PartyContext, run: str) -> ModelPart:
    """The part that this party's training of ``run`` ended with. Raises :class:`NotTrained`."""
    return _part(context, context.run_area(run).get("model"), f"Run {run}.")


def part_of_version(context: PartyContext, version: str) -> ModelPart:
    """The part that this party published. Raises NoSuchModel, AlteredPart, and :class:`NotTrained` where it has none."""
    return _part(context, registry.load_part(context, version), f"Version {version}.")


def part_of_file(data: bytes) -> ModelPart:
    """The part in a file. Raises :class:`UnfitPart`."""
    try:
        document = from_file(data)
    except ValueError:
        raise UnfitPart("It is no file of a model part.") from None
    return part_of_document(document)


def part_of_document(document: Mapping[str, Any]) -> ModelPart:
    """The part that a document describes. Raises :class:`UnfitPart`."""
    try:
        return _BY_PROTOCOL[document["protocol"]].read(document)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UnfitPart("A field is lacking or of another kind.") from None


def _part(context: PartyContext, stored: bytes | None, of: str) -> ModelPart:
    if stored is None:
        raise NotTrained(of, party=context.me)
    return part_of_file(stored)
