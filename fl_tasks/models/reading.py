"""Reads a party's part of any model: as training kept it, as it was published, or from a file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tombolo.agreements.protocol import protocol_named
from tombolo.fl_tasks.models import registry
from tombolo.fl_tasks.models.part import ModelPart, UnfitPart
from tombolo.fl_tasks.models.state import MODEL
from tombolo.fl_tasks.models.tensors import from_file
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.storage.errors import CodedError


class NotTrained(CodedError):
    code = "TMB-MODEL-005"
    cause = "This party holds no finished model of the run."
    remedy = "Let the training stage of that run finish at this party first."


def part_of_run(context: PartyContext, run: str) -> ModelPart:
    """The part that this party's training of ``run`` ended with. Raises :class:`NotTrained`."""
    return _part(context, context.state(run).get(MODEL), f"Run {run}.")


def part_of_version(context: PartyContext, version: str) -> ModelPart:
    """The part that this party published. Raises NoSuchModel, AlteredPart, and :class:`NotTrained` if it has none."""
    return _part(context, registry.load_part(context, version), f"Version {version}.")


def part_of_file(data: bytes, plugins: Collection[str] = ()) -> ModelPart:
    """The part in a file; its protocol is one of Tombolo's own, or comes from ``plugins``. Raises :class:`UnfitPart`."""
    try:
        document = from_file(data)
    except ValueError:
        raise UnfitPart("The file is not a model part.") from None
    return part_of_document(document, plugins)


def part_of_document(document: Mapping[str, Any], plugins: Collection[str] = ()) -> ModelPart:
    """The part that a document describes. Raises :class:`UnfitPart`."""
    try:
        protocol = protocol_named(document["protocol"], plugins).protocol
        part: ModelPart = protocol.load(str(protocol.model)).part.read(document)
        return part
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UnfitPart("A field is missing or has a wrong type.") from None


def _part(context: PartyContext, stored: bytes | None, of: str) -> ModelPart:
    if stored is None:
        raise NotTrained(of, party=context.me)
    return part_of_file(stored, context.party_settings.plugins)
