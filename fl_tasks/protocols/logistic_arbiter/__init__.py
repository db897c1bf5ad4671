"""Vertical logistic regression, exact, with an arbiter."""
