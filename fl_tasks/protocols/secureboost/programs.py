"""The role programs of SecureBoost."""

from __future__ import annotations

from tombolo.fl_tasks.protocols.secureboost.guest import guest
from tombolo.fl_tasks.protocols.secureboost.host import host
from tombolo.fl_tasks.protocols.secureboost.messages import MESSAGES
from tombolo.fl_tasks.runtime.programs import Programs
from tombolo.storage.roles import GUEST, HOST

PROGRAMS = Programs(MESSAGES, {GUEST: guest, HOST: host})
