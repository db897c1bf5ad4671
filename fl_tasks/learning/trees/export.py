"""Exports a boosted model as a plain XGBoost model. Each host must consent: it releases its splits to the guest, signed and sealed.

A release names columns and thresholds, which no other party knew before. The guest holds the trees, and can write the whole model
when it has a release of every host. A client of a horizontal agreement holds the whole model, and needs no release.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field, StrictBool

from tombolo.agreements.tables import Strict
from tombolo.fl_tasks.learning.trees.part import EVERYBODY, TreePart
from tombolo.fl_tasks.learning.trees.tree import LEAF, SplitRecord, Tree
from tombolo.fl_tasks.models import registry
from tombolo.fl_tasks.models.reading import part_of_version
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.storage.canonical import canonical, parse
from tombolo.storage.errors import CodedError
from tombolo.storage.roles import GUEST

SCHEMA, _DOMAIN = "tombolo.release/1", "release"
_LARGEST = 1 << 26
_MOST = float(np.finfo(np.float32).max)
_OBJECTIVES: dict[str, dict[str, Any]] = {
    "binary": {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}},
    "number": {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}},
}


class Split(Strict):
    """One split that a host releases."""

    column: str
    threshold: float = Field(ge=-_MOST, le=_MOST, strict=True)
    missing_left: StrictBool


class NotExportable(CodedError):
    code = "TMB-EXPORT-001"
    cause = "This party cannot release or export this model: hosts release boosted trees, and the guest or a client exports them."
    remedy = "Use a version of boosted trees. Release it at every host and export it at the guest, or export it at a client."


class NoConsent(CodedError):
    code = "TMB-EXPORT-002"
    cause = "The release of a host is missing. A model is exported only with the consent of all hosts."
    remedy = "Ask every host for the file that `tombolo model release` writes, for the same version."


class ForeignRelease(CodedError):
    code = "TMB-EXPORT-003"
    cause = "A release is not signed by a host of the agreement, or is about another model."
    remedy = "Ask the host for a release of this version, made with the keys that the agreement pins."


def release(context: PartyContext, version: str) -> dict[str, Any]:
    """This host's splits of a published version, sealed to the guest and signed. Raises :class:`NotExportable`."""
    record, part = _boosted(context, version)
    if context.role == GUEST or part.whole:
        raise NotExportable(party=context.me)
    guest = next(name for name, role in context.roles.items() if role == GUEST)
    content = canonical({"splits": splits(part)})
    about = _about(context.agreement.name, record, context.me)
    sealed = context.agreement.members[guest].seal.seal(content, canonical(about))
    document = {**about, "sealed": base64.b64encode(sealed).decode()}
    signature = context.keys.signing.sign(_DOMAIN, canonical(document))
    return {**document, "signature": base64.b64encode(signature).decode()}


def export(context: PartyContext, version: str, releases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The whole model as XGBoost's JSON, at the guest or a client. Raises :class:`NoConsent` or :class:`ForeignRelease`."""
    record, part = _boosted(context, version)
    if context.role != GUEST and not part.whole:
        raise NotExportable(party=context.me)
    given = {EVERYBODY if part.whole else context.me: splits(part)}
    for signed in releases:
        party, released = _opened(context, record, signed)
        given[party] = released
    lacking = sorted(set(part.parties) - set(given))
    if lacking:
        raise NoConsent(f"Missing: {', '.join(lacking)}.", party=context.me)
    for index, party in enumerate(part.parties):
        named = [r for tree in part.trees for p, r in zip(tree.party, tree.record, strict=True) if p == index]
        if max(named, default=-1) >= len(given[party]):
            raise ForeignRelease(f"It has {len(given[party])} splits; the trees use more.", party=party)
    return xgboost_document(part, record["outcome"], [given[party] for party in part.parties])


def splits(part: TreePart) -> list[dict[str, Any]]:
    """Column, threshold (values below it go left) and the side of missing values, for each record of a party."""
    return [_split(part, record) for record in part.records]


def _split(part: TreePart, record: SplitRecord) -> dict[str, Any]:
    binner = part.encoder
    cuts, name = binner.cuts[record.column], binner.names[record.column]
    if record.cut == 0 or record.cut > len(cuts):  # missing values against all others
        threshold = -_MOST if record.cut == 0 else _MOST
    else:
        threshold = float(np.nextafter(np.float32(cuts[record.cut - 1]), np.float32(np.inf)))
    filled = next((known.fill for known in binner.columns if known.name == name and known.missing not in ("reject", "level")), None)
    if filled is not None:
        missing_left = bool(np.float32(filled) < np.float32(threshold))
    else:
        absent = binner.absent[record.column]
        missing_left = record.missing_left if absent == 0 else absent <= record.cut
    return {"column": name, "threshold": threshold, "missing_left": missing_left}


def xgboost_document(part: TreePart, outcome: str, by_party: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """XGBoost's JSON model. The name of a feature is ``party.column``, or the column if all parties have it. The first tree of
    every output includes the base margin."""
    features = sorted(
        {(index, split["column"]) for index, released in enumerate(by_party) for split in released},
        key=lambda feature: (feature[0], str(feature[1])),
    )
    positions = {feature: at for at, feature in enumerate(features)}
    started: set[int] = set()
    trees = []
    for number, tree in enumerate(part.trees):
        base = 0.0 if tree.output in started else float(part.base[tree.output])
        started.add(tree.output)
        trees.append(_tree(number, tree, base, by_party, positions))
    outputs = len(part.base)
    objective = _OBJECTIVES.get(outcome) or {"name": "multi:softprob", "softmax_multiclass_param": {"num_class": str(outputs)}}
    model = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
        "iteration_indptr": list(range(0, len(trees) + 1, outputs)),
        "tree_info": [tree.output for tree in part.trees],
        "trees": trees,
    }
    learner = {
        "attributes": {},
        "feature_names": [_name(part.parties[index], column) for index, column in features],
        "feature_types": ["float"] * len(features),
        "gradient_booster": {"model": model, "name": "gbtree"},
        "learner_model_param": {
            "base_score": "0.5" if outcome == "binary" else "0",
            "boost_from_average": "0",
            "num_class": str(outputs if outputs > 1 else 0),
            "num_feature": str(len(features)),
            "num_target": "1",
        },
        "objective": objective,
    }
    return {"learner": learner, "version": [3, 0, 0]}


def _tree(
    number: int,
    tree: Tree,
    base: float,
    by_party: Sequence[Sequence[Mapping[str, Any]]],
    positions: Mapping[tuple[int, Any], int],
) -> dict[str, Any]:
    count = len(tree.party)
    inner = [by_party[p][r] if p != LEAF else None for p, r in zip(tree.party, tree.record, strict=True)]
    parents = [2**31 - 1] * count
    for node in range(count):
        for child in (tree.left[node], tree.right[node]):
            if child != LEAF:
                parents[child] = node
    conditions = [
        value + base if split is None else float(split["threshold"]) for value, split in zip(tree.value, inner, strict=True)
    ]
    return {
        "base_weights": [value + base for value in tree.value],
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": [int(split is not None and split["missing_left"]) for split in inner],
        "id": number,
        "left_children": list(tree.left),
        "loss_changes": list(tree.gain),
        "parents": parents,
        "right_children": list(tree.right),
        "split_conditions": conditions,
        "split_indices": [
            0 if split is None else positions[party, split["column"]] for party, split in zip(tree.party, inner, strict=True)
        ],
        "split_type": [0] * count,
        "sum_hessian": list(tree.cover),
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(len(positions)),
            "num_nodes": str(count),
            "size_leaf_vector": "1",
        },
    }


def _name(party: str, column: str) -> str:
    """The name of a feature, without brackets and less-than signs, which XGBoost does not accept."""
    return (f"{party}.{column}" if party else column).translate(str.maketrans("[]<", "()_"))


def _boosted(context: PartyContext, version: str) -> tuple[dict[str, Any], TreePart]:
    record = registry.load(context, version)
    part = None if record["part"] is None else part_of_version(context, version)
    if not isinstance(part, TreePart):
        raise NotExportable(party=context.me)
    return record, part


def _about(agreement: str, record: Mapping[str, Any], party: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "agreement": agreement,
        "version": record["version"],
        "manifest": record["manifest_digest"],
        "party": party,
    }


def _opened(context: PartyContext, record: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Verify a release; returns its party and splits. Raises :class:`ForeignRelease`."""
    party = str(given.get("party"))
    document = {name: value for name, value in given.items() if name != "signature"}
    about = _about(context.agreement.name, record, party)
    try:
        context.agreement.members[party].verify.verify(base64.b64decode(given["signature"]), _DOMAIN, canonical(document))
        if document != {**about, "sealed": given["sealed"]}:
            raise ValueError("it is about another model")
        content = context.keys.sealing.open(base64.b64decode(given["sealed"]), canonical(about))
        released = [Split.model_validate(split).model_dump() for split in parse(content, _LARGEST)["splits"]]
    except (CodedError, KeyError, TypeError, ValueError):
        raise ForeignRelease(party=party if party in context.agreement.members else None) from None
    return party, released
