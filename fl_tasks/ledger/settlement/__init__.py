"""Settling a run among its parties: books compared in pairs, attestations, votes, one block."""
