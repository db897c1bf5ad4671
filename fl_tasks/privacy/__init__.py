"""What adds up over messages, runs and agreements: the meters' counts, and the limits on them."""
