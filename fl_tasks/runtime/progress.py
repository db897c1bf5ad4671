"""Where the facts go that a role reports while it works."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

Progress = Callable[[Mapping[str, Any]], None]
log = logging.getLogger("tombolo")


def log_progress(facts: Mapping[str, Any]) -> None:
    """The default progress: one log line with the facts that a role reports."""
    log.info(" ".join(f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}" for name, value in facts.items()))
