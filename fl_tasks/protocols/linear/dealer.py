"""Vertical linear regression on dealt shares."""

from __future__ import annotations

from tombolo.fl_tasks.learning.vertical.dealt_quadratic import SCALED, DealtHelper, DealtParty
from tombolo.fl_tasks.learning.vertical.quadratic import Quadratic, with_engine

MESSAGES = with_engine("linear-dealer", *SCALED)
PROGRAMS = Quadratic(curvature=1.0, binary=False, party=DealtParty, helper=DealtHelper).programs(MESSAGES)
