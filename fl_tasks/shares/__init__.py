"""Arithmetic on additive shares modulo 2^64 and 2^192, with randomness that a dealer hands out."""
