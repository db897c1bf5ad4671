"""The role programs of boosted trees over the rows of clients."""

from __future__ import annotations

from tombolo.fl_tasks.protocols.horizontal_trees.aggregator import aggregator
from tombolo.fl_tasks.protocols.horizontal_trees.client import client
from tombolo.fl_tasks.protocols.horizontal_trees.messages import MESSAGES
from tombolo.fl_tasks.runtime.programs import Programs
from tombolo.storage.roles import AGGREGATOR, CLIENT

PROGRAMS = Programs(MESSAGES, {CLIENT: client}, {AGGREGATOR: aggregator})
