"""The columns of a message on their way out."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from tombolo.storage.schema import Message


def protect(message: Message, name: str, value: Any) -> Any:
    """Wrap an array of the right storage type in its declared protection. Plain values stay plain and are refused later."""
    declared = message.columns.get(name)
    if declared is None or declared.open or isinstance(value, pa.ExtensionArray):
        return value
    if declared.base == "uint64" and getattr(value, "dtype", None) == "uint64":
        value = pa.array(value)
    fits = isinstance(value, pa.FixedSizeBinaryArray) if declared.base == "fixed" else isinstance(value, pa.Array)
    return declared.wrap(value) if fits else value
