"""How many sums per bin boosted trees need (rule 2 of docs/what-adds-up.md)."""

from __future__ import annotations

from tombolo.fl_tasks.learning.parameters import Boosted, Sampled
from tombolo.fl_tasks.learning.terms import BoostingTerms
from tombolo.fl_tasks.privacy.numbers import EVERY_CLIENT, Numbers, Shape
from tombolo.storage.roles import GUEST, HOST


def vertical(shape: Shape) -> list[Numbers]:
    """The numbers of SecureBoost: for every column of a host, sums of g and of h per bin and node, which the guest decrypts.

    The guest knows g and h of every row. The unknown values are who is in which bin. A column has ``bins`` bins and one for missing
    values; the sum over all of them is known, so a node gives ``bins`` numbers of g and as many of h. A tree of depth d needs the
    sums of 2^(d-1) nodes: the root, and the smaller child of every node that is split above the last level; the other child is the
    difference. Each tree has new g and h (of several classes a tree for each). Rows that are held apart for early stopping, or not
    drawn, are in no sum. The numbers of small nodes by themselves depend on the tree; they are looked at when a node is opened.

    Hosts get no sums. Which rows are together, and which of its splits are taken, are on the meter ``rows``.
    """
    params = shape.params
    assert isinstance(params, Sampled)
    alone = shape.section(BoostingTerms).first_tree_guest_only
    rows = _learning(shape, params)
    drawn = round(params.goss_top * rows) + round(params.goss_other * rows) if params.goss_top else int(params.subsample * rows)
    sums = 2 * params.bins * _nodes(shape, params, shape.rounds - alone)
    guest = shape.having(GUEST)
    return [
        Numbers("columns", host, guest, min(sums, 2 * params.bins * drawn), drawn, limited=False) for host in shape.having(HOST)
    ]


def horizontal(shape: Shape) -> list[Numbers]:
    """The numbers of horizontal trees: sums of g and of h over all clients, per column, bin and node, which all parties learn or
    may compute from splits and leaves.

    The count is that of a recipient who knows which row is in which bin. A node then gives, about labels, one sum of g per bin and
    column; the bins of every column add up to the same sum. About a column it is ``bins`` sums of g and as many of h, as in
    :func:`vertical`. Trees have the same 2^(d-1) nodes. The losses are not linear and are on the meter ``progress``.
    """
    params = shape.params
    assert isinstance(params, Boosted)
    rows, nodes, everybody = _learning(shape, params), _nodes(shape, params, shape.rounds), tuple(shape.roles)
    width = max(shape.columns.values())
    return [
        Numbers("labels", EVERY_CLIENT, everybody, min(nodes * (width * params.bins + 1), rows), rows, limited=False),
        Numbers("columns", EVERY_CLIENT, everybody, min(2 * params.bins * nodes, 2 * params.bins * rows), rows, limited=False),
    ]


def _learning(shape: Shape, params: Boosted) -> int:
    """The rows that trees are grown from."""
    return shape.rows if params.patience is None else shape.rows - round(params.validation_fraction * shape.rows)


def _nodes(shape: Shape, params: Boosted, rounds: int) -> int:
    """The most nodes whose sums are asked for in all rounds."""
    boosting = shape.section(BoostingTerms)
    outputs = boosting.classes if boosting.objective == "softmax" else 1
    trees: int = rounds * outputs << (params.depth - 1)
    return trees
