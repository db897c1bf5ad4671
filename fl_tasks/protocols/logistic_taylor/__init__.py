"""Vertical logistic regression in Taylor form with an arbiter (Hardy et al. 2017)."""
