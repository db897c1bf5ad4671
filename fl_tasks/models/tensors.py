"""A model part as a file: its arrays are the tensors of a safetensors file, and the rest is JSON in the file's metadata.

Nothing in it can be executed, and the usual libraries read it. The name of a tensor is its path in the document, such as
``layers.0.weights``; the JSON has ``{"tensor": path}`` at that place.
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
    """The file of a document that consists of JSON values and arrays. The same document gives the same bytes."""
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
        document: dict[str, Any] = _joined(rest, tensors)
    except (SafetensorError, NotCanonical, KeyError, AttributeError, TypeError):
        raise ValueError("not a file of a model part") from None
    return document


def _parted(value: Any, path: str, tensors: Tensors) -> Any:
    if isinstance(value, np.ndarray):
        tensors[path] = np.ascontiguousarray(value)
        return {"tensor": path}
    inner = f"{path}." if path else ""
    if isinstance(value, Mapping):
        return {name: _parted(entry, f"{inner}{name}", tensors) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_parted(entry, f"{inner}{at}", tensors) for at, entry in enumerate(value)]
    return value


def _joined(value: Any, tensors: Tensors) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"tensor"}:
            return tensors[value["tensor"]]
        return {name: _joined(entry, tensors) for name, entry in value.items()}
    return [_joined(entry, tensors) for entry in value] if isinstance(value, list) else value
