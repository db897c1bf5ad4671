"""Audit: everything that a party's store, or a bundle made from it, can prove about the past, checked without any other party."""
