"""Incentives: what each party contributed to a model, and what it is paid for that (white paper, chapter 4)."""
