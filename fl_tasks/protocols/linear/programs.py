"""Vertical linear regression with an arbiter: white paper section 3.4, J = 1/(2n) sum (u - y)^2 + l2/2 |w|^2."""

from __future__ import annotations

from tombolo.fl_tasks.learning.vertical.quadratic import ENCRYPTED, Quadratic, with_engine

MESSAGES = with_engine("linear", *ENCRYPTED)
PROGRAMS = Quadratic(curvature=1.0, binary=False).programs(MESSAGES)
