"""Federated transfer learning: few users in common, labels at one party only (white paper 3.3; Liu, Kang, Xing, Chen, Yang 2018).

The guest is the source, with labels; the host is the target, whose own users are predicted for.
"""

from fl_tasks.transfer.contract import CONTRACT
from fl_tasks.transfer.source import guest
from fl_tasks.transfer.target import host

__all__ = ["CONTRACT", "guest", "host"]
