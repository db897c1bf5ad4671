"""Encrypted entity alignment: the data parties learn which ids they have in common and in which order, and nothing else."""
