"""Horizontal linear regression by secure aggregation."""
