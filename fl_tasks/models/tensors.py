"""A model part as a file: its arrays are the tensors of a safetensors file, and the rest is JSON in the file's metadata.

Nothing in it is executable, and every library of the field reads it. A tensor is named by its path in the document, such as
``layers.0.weights``, and ``{"tensor": path}`` stands in its place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tombolo.storage.canonical import NotCanonical, canonical, parse

METADATA = "tombolo"
_LARGEST = 1 << 26
Tensors = dict[str, npt.NDArray[Any]]


def to_file(document: Mapping[str, Any]) -> bytes:
    """The file of a document whose leaves are what JSON holds, and arrays; the same bytes for the same document."""
    from safetensors.numpy import save

    tensors: Tensors = {}
    rest = _parted(document, "", tensors)
    return save(tensors, {METADATA: canonical(rest).decode()})


def from_file(data: bytes) -> dict[str, Any]:
    """The document of :func:`to_file`. Raises ValueError on other bytes."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(data)
        length = int.from_bytes(data[:8], "little")
        rest = parse(json.loads(data[8 : 8 + length])["__metadata__"][METADATA].encode(), _LARGEST)
        found: dict[str, Any] = _joined(rest, tensors)
    except (SafetensorError, NotCanonical, KeyError, AttributeError, TypeError):
        raise ValueError("no file of a model part") from None
    return found


def _parted(value: Any, path: str, tensors: Tensors) -> Any:
    if isinstance(value, np.ndarray):
        tensors[path] = np.ascontiguousarray(value)
        return {"tensor": path}
    inner = f"{path}." if path else ""
    if isinstance(value, Mapping):
        return {name: _parted(one, f"{inner}{name}", tensors) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_parted(one, f"{inner}{at}", tensors) for at, one in enumerate(value)]
    return value


def _joined(value: Any, tensors: Tensors) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"tensor"}:
            return tensors[value["tensor"]]
        return {name: _joined(one, tensors) for name, one in value.items()}
    return [_joined(one, tensors) for one in value] if isinstance(value, list) else value
