"""A network over columns of several parties: units at each, an encrypted layer between them, the labels at the guest.

White paper 3.2 (neural models on vertical data). The encrypted layer is FATE's (Zhang and Zhu 2020, arXiv 2007.06849) in a form that
shows hosts no row's derivative: those are per row at the guest and as ciphertexts at hosts, which learn sums over batches.
"""

from fl_tasks.checkpoints import State
from fl_tasks.session import Session
from fl_tasks.vertical.neural.contract import CONTRACT
from fl_tasks.vertical.neural.guest import guest
from fl_tasks.vertical.neural.host import host


def arbiter(session: Session) -> State:
    """An arbiter has no part in this protocol."""
    return {"round": 0, "stopped": True, "loss": []}


__all__ = ["CONTRACT", "arbiter", "guest", "host"]
