"""The role programs of federated transfer learning."""

from __future__ import annotations

from tombolo.fl_tasks.protocols.transfer.messages import MESSAGES
from tombolo.fl_tasks.protocols.transfer.source import guest
from tombolo.fl_tasks.protocols.transfer.target import host
from tombolo.fl_tasks.runtime.programs import Programs
from tombolo.storage.roles import GUEST, HOST

PROGRAMS = Programs(MESSAGES, {GUEST: guest, HOST: host})
