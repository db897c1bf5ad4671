"""Settling a run among its parties: they compare books in pairs, attest, vote, and make one block."""
