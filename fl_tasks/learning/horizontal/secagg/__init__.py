"""Secure aggregation: the aggregator learns the sum over the clients that stayed, and nothing about a single client.

Bonawitz et al., *Practical Secure Aggregation for Privacy-Preserving Machine Learning*, CCS 2017, with the consistency round always
on. A client may drop out before, during or after any step. With more than 50 clients, only neighbours in a graph have common masks
and hold shares of each other's secrets (Bell et al., CCS 2020).
"""

from tombolo.fl_tasks.learning.horizontal.secagg.aggregator import Closing, Sum, aggregate, rostered
from tombolo.fl_tasks.learning.horizontal.secagg.client import contribute
from tombolo.fl_tasks.learning.horizontal.secagg.masking import from_words, integer_words, to_words, words_integers
from tombolo.fl_tasks.learning.horizontal.secagg.messages import MESSAGES

__all__ = [
    "MESSAGES",
    "Closing",
    "Sum",
    "aggregate",
    "contribute",
    "from_words",
    "integer_words",
    "rostered",
    "to_words",
    "words_integers",
]
