"""The stages of a run: each a function that one party calls, idempotent and resumable."""
