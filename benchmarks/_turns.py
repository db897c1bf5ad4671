"""Two sides measured in turn, ours first: the median and the spread of what each took. Peers may answer from another process."""

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
"""Does the work once and returns what it took, per element."""


def cpu_us(work: Callable[[], Any], per: int) -> Side:
    """A side that takes CPU microseconds of this process per element: other work on the machine hardly disturbs them."""

    def once() -> float:
        began = time.process_time()
        work()
        return (time.process_time() - began) / per * 1e6

    return once


def compare(ours: Side, against: Side, turns: int) -> dict[str, Any]:
    """Measure both in turn. The ratio is the median of the turns' own ratios, above 1 where ours is faster."""
    taken = [(ours(), against()) for _ in range(turns)]
    own, other = ([pair[side] for pair in taken] for side in (0, 1))
    ratios = [theirs / mine for mine, theirs in taken]
    return {"ours": _spread(own), "against": _spread(other), "ratio": _spread(ratios)}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": median(values), "lowest": min(values), "highest": max(values)}


class Peer(AbstractContextManager["Peer"]):
    """A worker process that answers one JSON object a line with another."""

    def __init__(self, python: Path, driver: str) -> None:
        command = [str(python), str(Path(__file__).parent / driver)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"the peer ended with status {self._process.wait()}")
        figures: dict[str, Any] = json.loads(answer)
        return figures

    def side(self, question: dict[str, Any], per: int) -> Side:
        """A side of :func:`compare` in CPU microseconds per element, as the peer measured them."""
        return lambda: float(self.ask(question)["seconds"]) / per * 1e6

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.communicate()
