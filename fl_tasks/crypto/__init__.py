"""Cryptographic kernels: Paillier vectors, masks, pseudo-random streams and ristretto255 points."""
