"""What does not hold for every protocol, with reasons; names are patterns of ``fnmatch``, cases ``protocol-engine``."""

from __future__ import annotations

from collections.abc import Mapping

UNSENT: Mapping[tuple[str, str], str] = {}
"""Messages that are declared and not sent in a case."""

REDRAWN: Mapping[str, str] = {}
"""Cases whose model documents differ under replay, though the scores are the same."""

TOLERANCES: Mapping[str, tuple[float, str]] = {}
"""How far a held-out score may lie from the reference's; of scores that the reference gives exactly, 1e-6."""

ACCEPTED: Mapping[tuple[str, str], str] = {}
"""Forgeries that no recipient can tell from true values."""
