"""Arithmetic on additive shares modulo 2^64, with randomness that a dealer hands out."""
