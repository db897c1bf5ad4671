"""The messages of SecureBoost, the training rows of a party, and the errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tombolo.fl_tasks.learning.terms import BoostingTerms
from tombolo.fl_tasks.learning.trees.bins import Codes
from tombolo.fl_tasks.learning.trees.tree import MOST_NODES, Bools
from tombolo.fl_tasks.learning.vertical.key_holder import public_key_message
from tombolo.fl_tasks.learning.vertical.rows import MOST_COLUMNS
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError
from tombolo.storage.meters import MODEL, NUMBERS, PROGRESS, ROWS, SIZE
from tombolo.storage.roles import GUEST, HOST
from tombolo.storage.schema import Disclosed, Message, MessageSet, Paillier, Public

LONGEST_MASK = 1 << 26
"""The most bytes of a mask with one bit per row. A recipient knows the rows, and takes no more bytes than theirs."""

MESSAGES = MessageSet(
    "secureboost",
    public_key_message(GUEST, (HOST,)),
    Message(
        "features",
        HOST,
        GUEST,
        {
            "bins": Disclosed("int64", "how many sums each column has", "one number per column, under this run's aliases", SIZE),
            "missing": Disclosed(
                "bool", "whether missing values have a bin of their own", "one bit per column, under aliases", SIZE
            ),
        },
        learns="how many binned columns the host has, and how many bins each has; the order of the columns is new in every run",
        step="0",
        rows=MOST_COLUMNS,
    ),
    Message(
        "names",
        HOST,
        GUEST,
        {"name": Disclosed("string", "importance by name", "only where the terms say boosting.feature_names", MODEL)},
        learns="the names of the host's columns, in the order of the aliases",
        step="0",
        limit="only if the terms say boosting.feature_names",
        rows=MOST_COLUMNS,
    ),
    Message(
        "gradients",
        GUEST,
        HOST,
        {
            "row": Disclosed("int64", "which training rows count in this round", "all; those of the common seed; or GOSS's", ROWS),
            "pair": Paillier(GUEST),
        },
        learns="nothing about g and h: one ciphertext per row (for all classes); with GOSS, which rows have large gradients",
        step="1",
        limit="a host refuses rows that do not follow from the common seed, unless the terms have GOSS",
        rows=None,
    ),
    Message(
        "class_gradients",
        GUEST,
        HOST,
        {"pair": Paillier(GUEST)},
        learns="nothing about g and h: with several classes, one ciphertext per row and class that is summed below a root",
        step="2",
        rows=None,
    ),
    Message(
        "histogram",
        HOST,
        GUEST,
        {
            "sums": Disclosed(
                "fixed",
                "sums of g and h per bin, under the guest's key",
                "bins and nodes of fewer rows than agreed are refused",
                NUMBERS,
            )
        },
        learns="sums of g and h per node, column alias and bin; so about how many rows of which label each bin has",
        step="2",
        limit="minimum rows per bin and node; aliases change with every run",
        rows=None,
    ),
    Message(
        "choice",
        GUEST,
        HOST,
        {
            "node": Disclosed("int64", "which node the host is to split", "one per node that the host splits", MODEL),
            "column": Disclosed("int64", "which of its columns split best", "several where gains are equal", MODEL),
            "cut": Disclosed("int64", "at which bin", "one per column named", MODEL),
            "missing_left": Disclosed("bool", "where missing values go", "one bit per column named", MODEL),
        },
        learns="which of the host's own splits are used in the model",
        step="3",
        limit="a host refuses nodes and sides with fewer rows than agreed",
        rows=MOST_NODES,
    ),
    Message(
        "route",
        HOST,
        GUEST,
        {
            "node": Public("int64", "the node that was asked for"),
            "column": Disclosed("int64", "which of the equal columns was taken", "one alias per node", MODEL),
            "left": Disclosed(
                "binary", "which of the node's rows go left", "one bit per row of the node", ROWS, longest=LONGEST_MASK
            ),
        },
        learns="on which side of the host's split each row of the node is; not the name of the column, and not the cut",
        step="4",
        limit="one bit per row and split; minimum rows per side",
        rows=MOST_NODES,
    ),
    Message(
        "partition",
        GUEST,
        HOST,
        {
            "node": Disclosed("int64", "which nodes are looked at further", "nodes that were split", MODEL),
            "left": Disclosed(
                "binary",
                "which of their rows go left",
                "one bit per row of the node; not of the last level",
                ROWS,
                longest=LONGEST_MASK,
            ),
        },
        learns="which rows are together in a node; with its own columns a host may guess labels from that",
        step="5",
        limit="minimum rows per node; nothing about the last level or about leaf values; first_tree_guest_only",
        rows=MOST_NODES,
    ),
    Message(
        "turn",
        GUEST,
        HOST,
        {
            "stop": Disclosed("bool", "when to stop", "one bit per round", PROGRESS),
            "kept": Disclosed("int64", "how many rounds the model keeps so far", "one number per round", PROGRESS),
        },
        learns="whether training is over, and the round that early stopping goes back to",
        step="6",
        limit="two numbers per round",
    ),
)


class HostTotalsDiffer(CodedError):
    code = "TMB-TREE-001"
    cause = "The sums of a host over the bins of a column do not add up to the sums of g and h of the node."
    remedy = "Check that both parties run the same version, and start a new run. The host used other rows or bins than agreed."


class NodeTooSmall(CodedError):
    code = "TMB-TREE-002"
    cause = "A node, or one side of a split, has fewer rows than the terms allow. Its sums would be about single people."
    remedy = "Ask the guest why it asked for this node. An honest guest keeps to limits.minimum_leaf_rows."


class ForeignRoute(CodedError):
    code = "TMB-TREE-003"
    cause = "The answer of a host to a split is not about the rows of the node, or is not one of the splits that were asked for."
    remedy = (
        "Check that both parties run the same version, and start a new run. The answer of the host does not fit its histograms."
    )


class ForeignChoice(CodedError):
    code = "TMB-TREE-004"
    cause = "The guest named a node, a column or a cut that does not exist, or rows that a node does not have."
    remedy = "Check that both parties run the same version. If they do, ask the guest."


class ForeignRows(CodedError):
    code = "TMB-TREE-005"
    cause = "The rows of a round do not follow from the common seed of the parties."
    remedy = "Check that both parties run the same version. If they do, ask the guest."


class ForeignFeatures(CodedError):
    code = "TMB-TREE-006"
    cause = "A host sent impossible features: no columns, too many columns, a wrong number of bins, or a wrong number of names."
    remedy = "Check that both parties run the same version. If they do, ask the host."


@dataclass(frozen=True)
class BinnedRows:
    """The training rows of one party: ``codes`` of shape (rows, columns), the number of bins of each column, which columns have
    missing values, and the names of columns; at the guest also labels ``y`` and weights ``w``."""

    codes: Codes
    sizes: npt.NDArray[np.int64]
    missing: Bools
    names: tuple[str, ...]
    y: npt.NDArray[np.float64] | None = None
    w: npt.NDArray[np.float64] | None = None

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.codes)


def guest_only(session: Session) -> bool:
    """Whether the guest grows the trees of this round alone: in the first round, if the terms say so."""
    boosting = session.terms.task.section(BoostingTerms)
    return boosting.first_tree_guest_only and session.round == 1


def bytes_of(rows: int) -> int:
    """How many bytes a mask of so many rows has."""
    return -(-rows // 8)


def packed(mask: Bools) -> bytes:
    """Pack a mask into one bit per row of a node."""
    return np.packbits(mask).tobytes()


def unpacked(data: bytes, rows: int) -> Bools | None:
    """Inverse of :func:`packed`; None if the bits are not for exactly ``rows`` rows."""
    if len(data) != bytes_of(rows):
        return None
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    return None if bits[rows:].any() else bits[:rows].astype(np.bool_)
