"""What a party keeps of its models."""

from __future__ import annotations

from tombolo.fl_tasks.runtime.state import AGREEMENT, BYTES, DOCUMENT, Item
from tombolo.storage.roles import HOLDERS

MODEL = Item("model", BYTES, "This party's part of the model that training ended with, a file of tensors.", HOLDERS)
RECORDS = Item("models/{version}", DOCUMENT, "The record of a published version.", place=AGREEMENT, ends="never")
PARTS = Item("parts/{version}", BYTES, "This party's part of a published version.", HOLDERS, place=AGREEMENT, ends="never")
ITEMS = (MODEL, RECORDS, PARTS)
