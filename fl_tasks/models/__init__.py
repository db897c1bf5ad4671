"""Trained models: their metrics, registry, card, and the plain models they are compared with."""
