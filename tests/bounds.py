"""Work under limits of the operating system: what is refused must be refused before it costs memory or time."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

from tombolo.storage.errors import CodedError

MEMORY, SECONDS = 300 << 20, 20
"""More bytes than this beyond what the process has, and more processor time, end the work."""


def bounded(memory: int, seconds: int) -> None:
    """Limit this process: so many bytes and so much processor time more than it has now."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + memory,) * 2)
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds,) * 2)


def outcome(work: Callable[[], object]) -> str:
    """How the work ends in a process of its own: ``CODE party`` of its coded error, another error's type, or ``accepted``."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        bounded(MEMORY, SECONDS)
        try:
            work()
            told = "accepted"
        except CodedError as error:
            told = f"{error.code} {error.party}"
        except BaseException as error:
            told = f"{type(error).__name__}: {str(error)[:100]}"
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read().decode()
    os.waitpid(child, 0)
    return told or "killed by the system"
