"""How many independent numbers transfer learning gives about labels and columns (rule 2 of docs/what-adds-up.md)."""

from __future__ import annotations

from tombolo.fl_tasks.privacy.numbers import Numbers, Shape
from tombolo.fl_tasks.protocols.transfer.net import PartyNet
from tombolo.fl_tasks.protocols.transfer.protocol import TransferParameters, TransferTerms
from tombolo.fl_tasks.protocols.transfer.rows import labelled_of
from tombolo.storage.roles import GUEST, HOST


def declared(shape: Shape) -> list[Numbers]:
    """The numbers of a run. ``shape.rows`` are the common training rows; the inputs of a net are the components, at most
    ``task.transfer.components``.

    Each round gives the target the gradient of its net, one number per weight. The part with the label of row i is
    -w_i / 2 J_i^T Phi y_i, where J_i is the Jacobian of the target's net at this row. The target knows J_i and, with class weights,
    not w_i; Phi, a sum over all rows of the source, is unknown too. A recipient who knew Phi would have as many equations about
    labels as there are weights, and new ones in every round, because the net and Phi move. So numbers grow with the rounds, up to
    the labelled rows. With u_A in the same sums, as many are about a column of the source, over all common rows.

    The source gets the gradient of its own net, one number per weight, in which the numbers of the target u_B are linear. They are
    functions of the target's columns, and new in every round. The loss of the round is quadratic in u_B: it is on the meter
    ``progress``, as is the end of training.
    """
    terms, params = shape.section(TransferTerms), shape.params
    assert isinstance(params, TransferParameters)
    source, target = shape.having(GUEST)[0], shape.having(HOST)[0]
    labelled = labelled_of(params, shape.rows)

    def sums(party: str) -> int:
        return shape.rounds * PartyNet.of(terms, min(shape.columns[party], terms.components)).net.count

    return [
        Numbers("labels", source, (target,), min(sums(target), labelled), labelled, limited=False),
        Numbers("columns", source, (target,), min(sums(target), shape.rows), shape.rows, limited=False),
        Numbers("columns", target, (source,), min(sums(source), shape.rows), shape.rows, limited=False),
    ]
