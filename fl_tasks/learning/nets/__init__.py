"""Small neural networks: dense layers, losses, optimisers, and how one is trained on one party's rows; no federation inside."""
