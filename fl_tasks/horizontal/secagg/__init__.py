"""Secure aggregation: the aggregator learns the sum over the clients that stayed, and nothing of any of them.

Bonawitz et al., *Practical Secure Aggregation for Privacy-Preserving Machine Learning*, CCS 2017, with the consistency round always
on, as rounds of artifacts: a client may vanish before, during or after any step.
"""

from fl_tasks.horizontal.secagg.aggregator import Closing, Sum, aggregate, rostered
from fl_tasks.horizontal.secagg.client import contribute
from fl_tasks.horizontal.secagg.contract import CONTRACT, MESSAGES
from fl_tasks.horizontal.secagg.masking import from_words, to_words

__all__ = ["CONTRACT", "MESSAGES", "Closing", "Sum", "aggregate", "contribute", "from_words", "rostered", "to_words"]
