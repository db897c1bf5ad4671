"""Arrays and plain values as bytes: one npz archive, without pickle."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np


def pack(state: dict[str, Any]) -> bytes:
    """Arrays as one npz archive, and everything else as JSON inside it; without pickle."""
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in state.items() if name not in arrays}
    document = np.frombuffer(json.dumps(plain, allow_nan=False, default=_number).encode(), dtype=np.uint8)
    sink = io.BytesIO()
    np.savez(sink, allow_pickle=False, **{f"a_{name}": array for name, array in arrays.items()}, json=document)
    return sink.getvalue()


def unpack(data: bytes) -> dict[str, Any]:
    """Inverse of :func:`pack`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        plain = json.loads(archive["json"].tobytes())
        return {**plain, **{name.removeprefix("a_"): archive[name] for name in archive.files if name != "json"}}


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}")
