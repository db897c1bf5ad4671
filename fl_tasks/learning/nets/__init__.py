"""Small neural networks: dense layers, losses, optimisers, and training on the rows of one party. Nothing is sent here."""
