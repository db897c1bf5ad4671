"""Gradient-boosted trees in integers: bins, objectives, splits and growth, the same wherever the columns lie."""
