"""Audit: check everything that a party's store, or a bundle made from it, can prove about the past, without any other party."""
