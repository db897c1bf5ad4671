"""Gradient-boosted trees in integers: bins, objectives, splits and growth, for columns of one or of several parties."""
