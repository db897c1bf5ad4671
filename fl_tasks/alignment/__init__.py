"""Encrypted entity alignment: which ids the data parties have in common, and in which order, and nothing else."""
