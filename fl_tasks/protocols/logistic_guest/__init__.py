"""Vertical logistic regression, exact, without an arbiter: the guest holds the key."""
