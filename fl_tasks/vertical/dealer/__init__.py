"""The vertical linear protocols on shares that the arbiter deals: it sees no ciphertext, and rounds run at plaintext speed."""

from fl_tasks.vertical.dealer import linear, oracle, taylor

__all__ = ["linear", "oracle", "taylor"]
