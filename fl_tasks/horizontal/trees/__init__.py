"""Boosted trees over clients' rows: the histograms of g and h are secure sums of integers, hence those of all rows together."""

from fl_tasks.horizontal.trees.aggregator import aggregator
from fl_tasks.horizontal.trees.client import client
from fl_tasks.horizontal.trees.contract import CONTRACT

__all__ = ["CONTRACT", "aggregator", "client"]
