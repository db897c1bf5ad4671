"""Checkpoints: the state of a role after each finished round, create-only, in the party's own private area."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import numpy as np

from tombolo.storage.private import PrivateArea

State = dict[str, Any]


class Checkpoints:
    """Numbered states ``checkpoints/<round>``. The first writer of a round wins, so that a forgotten old process beside a retry
    can neither overwrite nor fork the state."""

    def __init__(self, area: PrivateArea) -> None:
        self._area = area
        self._latest: State | None = None
        self._digest = hashlib.sha256(b"no checkpoint").digest()
        self._loaded = False

    def latest(self) -> State | None:
        """The last round's state with its number under ``round``, or None."""
        if not self._loaded:
            names = self._area.names("checkpoints/")
            if names:
                self._hold(int(names[-1].removeprefix("checkpoints/")), self._area.get(names[-1]) or b"")
            self._loaded = True
        return self._latest

    def put(self, round: int, state: State) -> State:
        """Keep a state; returns what is kept for the round."""
        return self._hold(round, self._area.keep(f"checkpoints/{round:06d}", pack(state)))

    def digest(self) -> bytes:
        """SHA-256 of the last checkpoint's bytes."""
        return self._digest

    def _hold(self, round: int, data: bytes) -> State:
        self._digest = hashlib.sha256(data).digest()
        self._latest, self._loaded = {**unpack(data), "round": round}, True
        return self._latest


def pack(state: State) -> bytes:
    """Arrays as one npz archive, everything else as JSON inside it; nothing is pickled."""
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in state.items() if name not in arrays}
    document = np.frombuffer(json.dumps(plain, allow_nan=False, default=_number).encode(), dtype=np.uint8)
    sink = io.BytesIO()
    np.savez(sink, allow_pickle=False, **{f"a_{name}": array for name, array in arrays.items()}, json=document)
    return sink.getvalue()


def unpack(data: bytes) -> State:
    """Inverse of :func:`pack`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        plain = json.loads(archive["json"].tobytes())
        return {**plain, **{name.removeprefix("a_"): archive[name] for name in archive.files if name != "json"}}


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}")
