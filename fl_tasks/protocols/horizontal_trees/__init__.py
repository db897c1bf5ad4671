"""Boosted trees over clients' rows: the histograms of g and h are secure sums of integers, hence those of all rows together."""
