"""Vertical logistic regression with an arbiter in Hardy's Taylor form (Hardy et al. 2017, arXiv 1711.10677).

The form replaces log(1 + e^-yu) by log 2 - yu/2 + u^2/8, so that the residual is linear in u. Its scores rank the rows nearly as
the exact model does, but they are not probabilities. Use the exact protocol logistic-arbiter, unless you need this classic form.
"""

from __future__ import annotations

from tombolo.fl_tasks.learning.vertical.quadratic import ENCRYPTED, Quadratic, with_engine

MESSAGES = with_engine("logistic-taylor", *ENCRYPTED)
PROGRAMS = Quadratic(curvature=0.25, binary=True).programs(MESSAGES)
