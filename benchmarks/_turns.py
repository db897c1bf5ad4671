"""Measures two sides in turn, Tombolo first: the median and the spread of their costs. The peer may run in another process."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

Side = Callable[[], float]
"""Does the work once and returns its cost per element."""


def cpu_us(work: Callable[[], Any], per: int) -> Side:
    """A side measured in CPU microseconds of this process per element. Other work on the machine changes these very little."""

    def once() -> float:
        began = time.process_time()
        work()
        return (time.process_time() - began) / per * 1e6

    return once


def compare(ours: Side, against: Side, turns: int) -> dict[str, Any]:
    """Measure both in turn. The ratio is the median of the ratios of all turns; above 1 means that ours is faster."""
    taken = [(ours(), against()) for _ in range(turns)]
    own, other = ([pair[side] for pair in taken] for side in (0, 1))
    ratios = [theirs / mine for mine, theirs in taken]
    return {"ours": _spread(own), "against": _spread(other), "ratio": _spread(ratios)}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": median(values), "lowest": min(values), "highest": max(values)}


class Peer(AbstractContextManager["Peer"]):
    """A worker process that answers each line of JSON with a line of JSON."""

    def __init__(self, python: Path, driver: str) -> None:
        command = [str(python), str(Path(__file__).parent / driver)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Send a question and return the answer. Exits if the peer has ended."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"the peer ended with status {self._process.wait()}")
        figures: dict[str, Any] = json.loads(answer)
        return figures

    def side(self, question: dict[str, Any], per: int) -> Side:
        """A side for :func:`compare`, in CPU microseconds per element as the peer measures them."""
        return lambda: float(self.ask(question)["seconds"]) / per * 1e6

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.communicate()
