"""What role programs run in: sessions, waiting, checkpoints, aborts, and one party's context."""
