"""How many independent numbers logistic-guest gives about labels and columns (rule 2 of docs/what-adds-up.md)."""

from __future__ import annotations

from tombolo.fl_tasks.learning.vertical.numbers import labels
from tombolo.fl_tasks.privacy.numbers import Numbers, Shape
from tombolo.storage.roles import GUEST, HOST


def declared(shape: Shape) -> list[Numbers]:
    """The numbers of a run.

    A host h gets X_h^T (sigmoid(u) - y), so the weights of the labels are X_h in every round: all hosts together get as many
    numbers as they have columns.

    Around the true values, the weights of a column x_j of another party are w_j X_h sigmoid'(u). They are new in every round but
    the first, where w is 0; and a run has fewer rounds than the hosts have columns.

    The guest gets no sum over rows that is linear in a host's columns: slopes and bends are products of two unknown vectors. What
    it gets is the logits of a direction, **row by row**. They are on the meter ``rows``, and have a limit of their own: over all
    runs fewer directions than the hosts have columns. With these logits it knows u, so hosts who join it learn no more from their
    gradients.
    """
    hosts = shape.having(HOST)
    later = max(0, min(shape.rounds, shape.columns_of(hosts) - 1) - 1)
    found = [labels(shape, shape.rows)]
    for owner in shape.having(GUEST) + hosts:
        others = tuple(party for party in hosts if party != owner)
        if others:
            found.append(Numbers("columns", owner, others, min(later * shape.columns_of(others), shape.rows), shape.rows))
    return found
