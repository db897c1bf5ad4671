"""What the console shows, read from the party's record, store and agreements. No HTML, and no private value."""
