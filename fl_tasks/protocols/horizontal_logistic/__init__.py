"""Horizontal logistic regression by secure aggregation."""
