"""The role programs."""

from __future__ import annotations

from tombolo.fl_tasks.protocols.horizontal_trees.aggregator import aggregator
from tombolo.fl_tasks.protocols.horizontal_trees.client import client
from tombolo.fl_tasks.protocols.horizontal_trees.messages import MESSAGES

__all__ = ["MESSAGES", "aggregator", "client"]
