"""Vertical logistic regression, exact, with the keys at the guest."""
