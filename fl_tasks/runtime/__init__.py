"""The environment of role programs: sessions, waiting, checkpoints, aborts, and the context of one party."""
