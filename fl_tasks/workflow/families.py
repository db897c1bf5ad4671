"""What differs between families of models, for the stages: how columns become numbers, what is kept, how rows are scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tombolo.agreements.parameters import COMMON_TREES, HORIZONTAL, NETWORKS, NEWTON, TRANSFER
from tombolo.fl_tasks.learning.horizontal.columns import encoder as common_encoder
from tombolo.fl_tasks.learning.horizontal.newton import model_weights
from tombolo.fl_tasks.learning.horizontal.statistics import statistics_of
from tombolo.fl_tasks.learning.linear_part import partial_scores
from tombolo.fl_tasks.learning.nets.towers import Tower, host_net
from tombolo.fl_tasks.learning.nets.training import Training
from tombolo.fl_tasks.learning.trees.bins import Binner
from tombolo.fl_tasks.learning.trees.part import EVERYBODY, TreePart
from tombolo.fl_tasks.learning.vertical import scoring
from tombolo.fl_tasks.learning.vertical.block import Block
from tombolo.fl_tasks.models.part import Encodes, ModelPart
from tombolo.fl_tasks.protocols.horizontal_mlp.model import NetworkPart, layers_document
from tombolo.fl_tasks.protocols.horizontal_trees.start import binner_of
from tombolo.fl_tasks.protocols.secureboost import scoring as tree_scoring
from tombolo.fl_tasks.protocols.secureboost.messages import Block as TreeBlock
from tombolo.fl_tasks.protocols.secureboost.records import kept
from tombolo.fl_tasks.protocols.transfer import scoring as transfer_scoring
from tombolo.fl_tasks.protocols.transfer.components import Components
from tombolo.fl_tasks.protocols.transfer.model import TransferPart
from tombolo.fl_tasks.protocols.transfer.rows import Rows as TransferRows
from tombolo.fl_tasks.protocols.transfer.tower import Tower as TransferTower
from tombolo.fl_tasks.protocols.vertical_mlp import scoring as tower_scoring
from tombolo.fl_tasks.protocols.vertical_mlp.model import TowerPart, shares_document
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.context import PartyContext
from tombolo.fl_tasks.runtime.session import Session
from tombolo.fl_tasks.tables.encoding import Encoder
from tombolo.storage.canonical import parse
from tombolo.storage.roles import GUEST
from tombolo.storage.schema import MessageSet

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """The guest's labels and weights of its training rows, shape (rows,)."""

    y: Floats
    w: Floats


@dataclass(frozen=True)
class Family:
    """One family's own ways.

    ``document`` is the model part that is kept when training is over; ``totals`` gives every recipient the total score of each row,
    over the declared ``messages``, and ``assist`` is the arbiter's part in that.
    """

    encoder: Callable[[Mapping[str, Any]], Encodes]
    document: Callable[[Session, Any, State], dict[str, Any]]
    messages: MessageSet
    totals: Callable[[Session, Any, pa.Table, Iterable[str]], Floats | None]
    assist: Callable[[Session], None] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class VerticalFamily(Family):
    """A family over columns that lie with several parties, each of which encodes its own.

    ``fit`` makes the encoder from the training rows of a feature table, and refuses columns or rows that training could expose;
    ``block`` is what a protocol's role gets of a party's training rows, of which the first so many are common to all parties.
    """

    fit: Callable[[PartyContext, str, pa.Table, npt.NDArray[np.bool_]], Encodes]
    block: Callable[[Any, pa.Table, Labels | None, int], Any]


@dataclass(frozen=True)
class HorizontalFamily(Family):
    """A family over rows that lie with several clients; ``common`` is the encoder that sums over all of them have led to."""

    common: Callable[[Session], Encodes]


def family_of(protocol: str) -> Family:
    """The family of a training protocol."""
    return horizontal_family(protocol) if protocol in HORIZONTAL else vertical_family(protocol)


def horizontal_family(protocol: str) -> HorizontalFamily:
    """The family of a horizontal training protocol."""
    return next(family for names, family in _HORIZONTAL.items() if protocol in names)


def own_totals(protocol: str, part: Any, table: pa.Table) -> Floats:
    """Total scores of a client's rows by the whole model that it holds."""
    totals = horizontal_family(protocol).totals(None, part, table, ())  # type: ignore[arg-type]  # no message, hence no session
    assert totals is not None
    return totals


def vertical_family(protocol: str) -> VerticalFamily:
    """The family of a vertical training protocol."""
    if protocol in TowerPart.PROTOCOLS:
        return _TOWERS
    if protocol in TRANSFER:
        return _TRANSFER
    return _TREES if protocol in TreePart.PROTOCOLS else _LINEAR


def _fit_linear(context: PartyContext, run: str, table: pa.Table, train: npt.NDArray[np.bool_]) -> Encoder:
    return Encoder.fit(table, context.terms.table(context.me), train, context.terms.limits, context.me)


def _linear_block(encoder: Encoder, table: pa.Table, labels: Labels | None, common: int) -> Block:
    return Block(encoder.transform(table), None if labels is None else labels.y, tuple(encoder.names))


def _linear_document(session: Session, encoder: Encoder, state: State) -> dict[str, Any]:
    """The guest's first weight is the intercept."""
    guest = session.role == GUEST
    weights = np.asarray(state["w"], np.float64)
    return {"weights": weights[1:] if guest else weights, "intercept": float(weights[0]) if guest else None}


def _linear_totals(session: Session, part: ModelPart, table: pa.Table, recipients: Iterable[str]) -> Floats | None:
    return scoring.exchange_scores(session, partial_scores(part, table), recipients)


def _tower_document(session: Session, encoder: Encoder, state: State) -> dict[str, Any]:
    """A host's units and its share of what leads from them to the guest; at the guest all else."""
    network, columns = session.terms.task.network, len(encoder.names)
    assert network is not None
    if session.role != GUEST:
        bottom, top, w = host_net(network, columns), [], state["w"]
        held = {"shares": shares_document({session.me: state["share"][0]}), "label_mean": 0.0, "label_scale": 1.0}
    else:
        tower = Tower.of(network, columns)
        bottom, w = tower.bottom, state["w"][: tower.bottom.count]
        top = layers_document(tower.top, state["w"][tower.bottom.count :])
        shares = {party: document[0] for party, document in state["shares"].items()}
        held = {"shares": shares_document(shares), **{name: float(state[name]) for name in ("label_mean", "label_scale")}}
    return {"layers": layers_document(bottom, w), "top": top, "activation": network.activation, **held}


def _fit_trees(context: PartyContext, run: str, table: pa.Table, train: npt.NDArray[np.bool_]) -> Binner:
    terms = context.terms
    return Binner.fit(table, terms.table(context.me), train, terms.limits, int(context.params(run)["bins"]), context.me)


def _tree_block(binner: Binner, table: pa.Table, labels: Labels | None, common: int) -> TreeBlock:
    given = (None, None) if labels is None else (labels.y, labels.w)
    return TreeBlock(binner.transform(table), binner.sizes, np.array(binner.missing), binner.names, *given)


def _tree_document(session: Session, binner: Binner, state: State) -> dict[str, Any]:
    """Records of the rounds that the model keeps; at the guest its trees, and what to call hosts' columns."""
    rounds = int(state["kept"])
    document = {"records": kept(session, "records", rounds), "depth": int(session.params["depth"]), "rounds": rounds}
    if session.role != GUEST:
        return document
    trees = kept(session, "trees", rounds)
    return {
        **document,
        "trees": trees,
        "base": [float(one) for one in state["base"]],
        "parties": [session.me, *session.hosts],
        "host_names": parse(session.area.get("names") or b"{}", 1 << 26),
        "validation_loss": [float(one) for one in state["validation"]],
    }


def _fit_components(context: PartyContext, run: str, table: pa.Table, train: npt.NDArray[np.bool_]) -> Components:
    terms, transfer = context.terms, context.terms.task.transfer
    assert transfer is not None
    return Components.fit(table, terms.table(context.me), train, terms.limits, transfer.components, context.me)


def _transfer_rows(encoder: Components, table: pa.Table, labels: Labels | None, common: int) -> TransferRows:
    return TransferRows(encoder.transform(table), None if labels is None else labels.y, common)


def _transfer_document(session: Session, encoder: Components, state: State) -> dict[str, Any]:
    terms = session.terms.task.transfer
    assert terms is not None
    net = TransferTower.of(terms, len(encoder.names)).net
    phi = np.asarray(state["phi"], np.float64) if session.role == GUEST else None
    return {"layers": layers_document(net, np.asarray(state["w"])), "phi": phi}


def _transfer_totals(session: Session, part: TransferPart, table: pa.Table | None, recipients: Iterable[str]) -> Floats | None:
    return transfer_scoring.exchange_scores(session, part, table, recipients)


def _common_encoder(session: Session) -> Encoder:
    return common_encoder(session.terms, statistics_of(session.area))


def _joint_document(session: Session, encoder: Encoder, state: State) -> dict[str, Any]:
    """The whole model, the same at every client."""
    weights, intercept = model_weights(statistics_of(session.area), state["w"])
    return {"weights": np.asarray(weights, np.float64), "intercept": intercept}


def _network_document(session: Session, encoder: Encoder, state: State) -> dict[str, Any]:
    """The whole network, the same at every client."""
    network, found = session.terms.task.network, statistics_of(session.area)
    assert network is not None
    training = Training.of(network, session.params, len(encoder.names))
    layers = layers_document(training.net, np.asarray(state["w"]))
    label = {"label_mean": found.label_mean, "label_scale": found.label_scale}
    return {"layers": layers, "activation": network.activation, **label}


def _network_totals(session: Session, part: NetworkPart, table: pa.Table, recipients: Iterable[str]) -> Floats:
    """As with regression, a client scores its own rows for itself."""
    return part.totals(table)


def _common_bins(session: Session) -> Binner:
    return binner_of(session.area)


def _joint_trees_document(session: Session, binner: Binner, state: State) -> dict[str, Any]:
    """The whole model, the same at every client: the rounds that it keeps."""
    rounds = int(state["kept"])
    return {
        "records": kept(session, "records", rounds),
        "trees": kept(session, "trees", rounds),
        "depth": int(session.params["depth"]),
        "rounds": rounds,
        "base": [float(one) for one in state["base"]],
        "parties": [EVERYBODY],
        "validation_loss": [float(one) for one in state["validation"]],
    }


def _own_tree_totals(session: Session, part: TreePart, table: pa.Table, recipients: Iterable[str]) -> Floats:
    totals = part.totals(table)
    return totals if totals.shape[1] > 1 else totals[:, 0]


def _own_totals(session: Session, part: ModelPart, table: pa.Table, recipients: Iterable[str]) -> Floats:
    """A client has the whole model: it scores its own rows by itself, for itself."""
    return partial_scores(part, table)


_LINEAR = VerticalFamily(
    Encoder.from_document, _linear_document, scoring.MESSAGES, _linear_totals, fit=_fit_linear, block=_linear_block
)
_TOWERS = VerticalFamily(
    Encoder.from_document,
    _tower_document,
    tower_scoring.MESSAGES,
    tower_scoring.exchange_scores,
    assist=tower_scoring.assist,
    fit=_fit_linear,
    block=_linear_block,
)
_TREES = VerticalFamily(
    Binner.from_document, _tree_document, tree_scoring.MESSAGES, tree_scoring.exchange_scores, fit=_fit_trees, block=_tree_block
)
_TRANSFER = VerticalFamily(
    Components.from_document,
    _transfer_document,
    transfer_scoring.MESSAGES,
    _transfer_totals,
    fit=_fit_components,
    block=_transfer_rows,
)
_REGRESSION = HorizontalFamily(Encoder.from_document, _joint_document, MessageSet("none"), _own_totals, common=_common_encoder)
_NETWORK = HorizontalFamily(Encoder.from_document, _network_document, MessageSet("none"), _network_totals, common=_common_encoder)
_JOINT_TREES = HorizontalFamily(
    Binner.from_document, _joint_trees_document, MessageSet("none"), _own_tree_totals, common=_common_bins
)
_HORIZONTAL = {NEWTON: _REGRESSION, NETWORKS: _NETWORK, COMMON_TREES: _JOINT_TREES}
