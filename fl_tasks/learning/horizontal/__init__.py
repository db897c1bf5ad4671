"""Horizontal federation (white paper 3.1): clients hold other users with the same columns; an aggregator learns sums only."""
