"""How many independent numbers vertical regressions give about labels and columns (rule 2 of docs/what-adds-up.md).

Every data party k gets its own gradient X_k^T d in every round. Here it is shown which equations these sums are.
"""

from __future__ import annotations

from tombolo.fl_tasks.learning.parameters import Batched
from tombolo.fl_tasks.privacy.numbers import Numbers, Shape
from tombolo.storage.roles import ARBITER, GUEST, HOST


def quadratic(shape: Shape) -> list[Numbers]:
    """Numbers of :mod:`tombolo.fl_tasks.learning.vertical.quadratic`, on ciphertexts and on dealt shares.

    A host h gets X_h^T (sum_k X_k w_k - t), where the target t is linear in the label. The weights of the labels are X_h in every
    round, so all hosts together get as many numbers as they have columns, however many rounds there are. With batches that holds in
    every batch: a run draws them once, and no row is in two of them.

    The weights of one column x_j of another party are X_h times w_j. The weight w_j changes, X_h does not; so the number about one
    column is that of the columns of all other data parties. The guest's column of ones is one of them.

    The arbiter adds none: its scalars are sums over the parties of inner products of two vectors that both depend on labels and
    columns (slope, curvature, loss), so they are not linear; and nobody but the guest knows X_g p at any row. These scalars, and
    the step that follows from them, are on the meter ``progress``.
    """
    group = smallest_batch(shape)
    return [labels(shape, group), *columns(shape, group, lasting=True)]


def logistic(shape: Shape) -> list[Numbers]:
    """Numbers of exact logistic regression with an arbiter, on ciphertexts and on dealt shares.

    A host h gets X_h^T (sigmoid(u) - y). The sigmoid changes in every round, but the labels' weights stay X_h: all hosts together
    get as many numbers about labels as they have columns. The differences of two rounds say nothing of labels.

    Hosts who join the arbiter know the order and the signs under which it sees the logits u. Then its scalars are equations too:
    the sums of (1/2 - y) u, and of the gradient times an earlier step, whose weights are differences of logits. All lie in the span
    of the logits of the rounds, and thus of the columns of all. The logits of the first round are 0. So this coalition gets,
    besides the hosts' columns, one number per further round, and never more than the guest has columns. (It also knows every row's
    logits, which are on the meter ``rows``.)

    About a column x_j, the sums are not linear. Around the true values their weights are w_j X_h sigmoid'(u), which are new in
    every round but the first, where w is 0. So the numbers about a column grow with the rounds.
    """
    hosts, arbiter = shape.having(HOST), shape.having(ARBITER)
    more = min(shape.rounds - 1, shape.columns_of(shape.having(GUEST)))
    joint = Numbers("labels", _guest(shape), hosts + arbiter, _most(shape.columns_of(hosts) + more, shape.rows), shape.rows)
    return [labels(shape, shape.rows), joint, *columns(shape, shape.rows, rounds=shape.rounds - 1)]


def labels(shape: Shape, group: int, numbers: int | None = None) -> Numbers:
    """What all hosts learn of labels in a group of rows: as many numbers as they have columns, if no other count is given."""
    hosts = shape.having(HOST)
    count = shape.columns_of(hosts) if numbers is None else numbers
    return Numbers("labels", _guest(shape), hosts, _most(count, group), group, lasting=True)


def columns(shape: Shape, group: int, rounds: int = 1, lasting: bool = False) -> list[Numbers]:
    """What all other data parties learn of a column of each: as many numbers as they have columns, in each of these rounds."""
    found = []
    for owner in shape.holders:
        others = tuple(party for party in shape.holders if party != owner)
        found.append(Numbers("columns", owner, others, _most(rounds * shape.columns_of(others), group), group, lasting))
    return found


def smallest_batch(shape: Shape) -> int:
    """The rows of the smallest batch; all rows if the engine has no batches. The sizes of batches differ by one at most."""
    size = shape.params.batch(shape.rows) if isinstance(shape.params, Batched) else shape.rows
    return shape.rows // max(1, shape.rows // size)


def _guest(shape: Shape) -> str:
    return shape.having(GUEST)[0]


def _most(numbers: int, rows: int) -> int:
    """More equations than unknown values are never independent."""
    return min(numbers, rows)
