"""All messages of the alignment stage."""

from __future__ import annotations

from fl_tasks.alignment import order, ring, salt, two_party
from fl_tasks.alignment.kkrt import messages as kkrt
from storage.schema import Contract

CONTRACT = Contract("alignment", *salt.MESSAGES, *two_party.MESSAGES, *ring.MESSAGES, *kkrt.MESSAGES, *order.MESSAGES)
