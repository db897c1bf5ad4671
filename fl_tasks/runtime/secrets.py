"""The secrets of a run, as a session gets them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Secrets:
    """The secrets of one run, 32 bytes each: this party's own, one for each pair of data parties, and one of all data parties."""

    own: bytes
    pairs: Mapping[str, bytes]
    common: bytes | None
