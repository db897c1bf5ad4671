"""What the console shows, read out of the party's record, store and agreements; no HTML here, and no private value."""
