"""How many independent numbers vertical networks give about labels and columns (rule 2 of docs/what-adds-up.md)."""

from __future__ import annotations

from dataclasses import replace

from tombolo.fl_tasks.learning.terms import NetworkTerms
from tombolo.fl_tasks.learning.vertical.numbers import labels, smallest_batch
from tombolo.fl_tasks.privacy.numbers import Numbers, Shape
from tombolo.storage.roles import GUEST, HOST


def hidden(shape: Shape) -> list[Numbers]:
    """The numbers of the engines that hide the layer between the parties: ``paillier`` and ``dealer``.

    A host with c columns and b units gets, per batch and round, one sum for each of its (c + 1) b weights:
    sum_i x_ij f'_ik (W a_i)_k r_i. Here r_i is the slope of the loss of row i by the output, which is linear in its label (p - y),
    or in the one-hot label of several classes. The vector a_i leads from the joint sums to the output. Batches are the same in
    every round, but f', W and a_i move, so the weights of a label are new ones in every round.

    The count is that of a recipient who knows W and the layers of the guest. Nobody has W, and no host has these layers: a host
    alone has the weights x f' only, times factors W a_i that differ from row to row and round to round. So this is the most that
    could be learnt. It never exceeds the rows of the batch.

    The slopes r_i also depend on the columns of the other parties, so the numbers about a column are as many. The guest gets no
    sums over rows; the joint sums reach it row by row, on the meter ``rows``.
    """
    group, guest, hosts = smallest_batch(shape), shape.having(GUEST)[0], shape.having(HOST)
    found = [replace(labels(shape, group, _sums(shape, hosts)), lasting=False, limited=False)]
    for owner in (guest, *hosts):
        others = tuple(party for party in hosts if party != owner)
        if others:
            found.append(Numbers("columns", owner, others, min(_sums(shape, others), group), group, limited=False))
    return found


def split(shape: Shape) -> list[Numbers]:
    """The numbers of the engine ``split``: none. All that leaves a party does so row by row, on the meter ``rows``."""
    return []


def _sums(shape: Shape, hosts: tuple[str, ...]) -> int:
    """The sums that these hosts get per batch in all rounds."""
    bottom = shape.section(NetworkTerms).bottom
    assert bottom is not None
    return shape.rounds * bottom * (shape.columns_of(hosts) + len(hosts))
