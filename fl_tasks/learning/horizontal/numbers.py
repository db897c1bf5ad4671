"""How many independent numbers horizontal training gives about the rows of clients (rule 2 of docs/what-adds-up.md).

Only sums over all clients are uncovered. A client who takes part knows its own addends; what is left is the sum over the others.
All parties are recipients: the aggregator learns the sums, and the clients get weights that follow from them. The weights of a
label in these sums are the columns of its row, which no other party has. The counts are those of a recipient who knows them
nevertheless, for instance from another source. Counts, deviations and quantiles of columns are taken once per agreed column before
the first round; a mean is one of the numbers below, the others are not linear and are on the meter ``progress``.
"""

from __future__ import annotations

from tombolo.fl_tasks.learning.nets.dense import Dense
from tombolo.fl_tasks.learning.parameters import Averaged
from tombolo.fl_tasks.learning.terms import NetworkTerms, PrivacyTerms
from tombolo.fl_tasks.privacy.numbers import EVERY_CLIENT, Numbers, Shape


def linear(shape: Shape) -> list[Numbers]:
    """Numbers of linear regression by Newton's method.

    With the column of ones there are s columns. The gradient is X^T X w - X^T y: about labels it is always X^T y, s numbers however
    many rounds. The Hessian X^T X is the same in every round. About one column, X^T X gives its products with the other s - 1
    columns and, around the true values, with itself; X^T y gives its product with the labels: s + 1 numbers. The loss adds y^T y,
    which is quadratic in the labels and on the meter ``progress``.
    """
    size = _columns(shape) + 1
    return _numbers(shape, size, size + 1)


def logistic(shape: Shape) -> list[Numbers]:
    """Numbers of logistic regression by Newton's method.

    The gradient is X^T (sigmoid(u) - y), and the loss has y u with u = X w: the labels' weights are columns of X in every round, so
    there are s numbers about labels (s as in :func:`linear`). The Hessian does not depend on labels.

    About one column, the first round (w = 0) gives the s + 1 numbers of :func:`linear`. In later rounds gradient, Hessian and loss
    are not linear in it, and have new weights around the true values: 1 + s + s (s + 1) / 2 numbers per round.
    """
    size = _columns(shape) + 1
    return _numbers(shape, size, size + 1 + (shape.rounds - 1) * (1 + size + size * (size + 1) // 2))


def network(shape: Shape) -> list[Numbers]:
    """Numbers of networks whose weights are averaged: one sum of updates per weight and round.

    An update is a sum of gradients over rows at weights that all parties know, at least in its first step; the label of a row is
    linear in it, and its weights are new in every round. So there are as many numbers as weights, in every round, about labels and
    about a column. With ``task.privacy`` noise is added to every sum, which then is no equation: epsilon counts it.
    """
    params, network = shape.params, shape.section(NetworkTerms)
    assert isinstance(params, Averaged)
    if any(isinstance(section, PrivacyTerms) for section in shape.sections):
        return []
    outputs = network.classes if network.outcome == "classes" else 1
    sums = shape.rounds * Dense((_columns(shape), *network.hidden, outputs), network.activation).count
    return _numbers(shape, sums, sums)


def _numbers(shape: Shape, labels: int, columns: int) -> list[Numbers]:
    everybody, rows = tuple(shape.roles), shape.rows
    return [
        Numbers("labels", EVERY_CLIENT, everybody, min(labels, rows), rows, limited=False),
        Numbers("columns", EVERY_CLIENT, everybody, min(columns, rows), rows, limited=False),
    ]


def _columns(shape: Shape) -> int:
    """The common encoded columns, without the column of ones; all clients have the same."""
    return max(shape.columns.values())
