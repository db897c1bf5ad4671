"""Vertical linear regression with an arbiter (white paper, section 3.4)."""
