"""Vertical logistic regression in Hardy's Taylor form (Hardy et al. 2017, arXiv 1711.10677) on dealt shares."""

from __future__ import annotations

from tombolo.fl_tasks.learning.vertical.dealt_quadratic import SCALED, DealtHelper, DealtParty
from tombolo.fl_tasks.learning.vertical.quadratic import Quadratic, with_engine

MESSAGES = with_engine("logistic-taylor-dealer", *SCALED)
PROGRAMS = Quadratic(curvature=0.25, binary=True, party=DealtParty, helper=DealtHelper).programs(MESSAGES)
