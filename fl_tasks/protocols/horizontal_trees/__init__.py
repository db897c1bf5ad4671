"""Boosted trees over the rows of clients. Histograms of g and h are exact secure sums of integers over the rows of all clients."""
