"""Vertical mean difference: a small protocol, a table source and a store, outside Tombolo's own tree."""
