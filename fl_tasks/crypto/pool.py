"""Spreading ciphertext work over processes, or over any ``concurrent.futures`` executor such as Dask's.

Work travels as flat buffers. A private key never travels as an argument: it reaches the workers of a local pool once,
through their initializer, and a foreign executor never gets one. Small work runs in the calling process.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar

from fl_tasks.crypto.paillier import PrivateKey

T = TypeVar("T")
_WORTH_SHIPPING_US = 400_000.0
_CHUNK_US = 100_000.0
_held_key: PrivateKey | None = None


def default_workers() -> int:
    """The number of processors, limited by the environment variable TOMBOLO_WORKERS."""
    processors = os.cpu_count() or 1
    limit = os.environ.get("TOMBOLO_WORKERS", "")
    return max(1, min(processors, int(limit))) if limit.isdigit() else processors


def _hold(key: bytes | None) -> None:
    global _held_key
    _held_key = PrivateKey.from_bytes(key) if key is not None else None


def held_key() -> PrivateKey:
    """The private key that this worker was started with."""
    if _held_key is None:
        raise RuntimeError("this worker was started without a private key")
    return _held_key


class Pool:
    """An executor with what the kernels need to know of it; made by :func:`open_pool`."""

    def __init__(self, executor: Executor | None, workers: int, *, local: bool, private: PrivateKey | None = None) -> None:
        self.executor = executor
        self.workers = workers
        self.local = local
        self.key_id = private.public.key_id if private is not None and local and executor is not None else None

    def pays(self, total_us: float) -> bool:
        """Whether work that takes so long in one process is worth shipping."""
        return self.executor is not None and total_us >= _WORTH_SHIPPING_US

    def split(self, count: int, cost_us: float) -> list[slice]:
        """Slices of ``range(count)`` worth a task each; a single one if the work is too small to ship."""
        total = count * cost_us
        if not self.pays(total):
            return [slice(0, count)]
        pieces = min(count, max(self.workers, min(4 * self.workers, int(total / _CHUNK_US))))
        bounds = [count * i // pieces for i in range(pieces + 1)]
        return [slice(a, b) for a, b in pairwise(bounds)]

    def map(self, function: Callable[..., T], tasks: Sequence[tuple[Any, ...]]) -> list[T]:
        """``function(*task)`` for every task, in order; in this process if there is only one task or no executor."""
        if self.executor is None or len(tasks) == 1:
            return [function(*task) for task in tasks]
        return [future.result() for future in [self.executor.submit(function, *task) for task in tasks]]

    @contextmanager
    def share(self, buffer: bytes | memoryview) -> Iterator[str | None]:
        """A file of public values that local workers map (see :func:`attach`), to stand in many tasks for a large buffer.

        None without such workers: a task then carries the bytes that it needs.
        """
        if not self.local or self.executor is None:
            yield None
            return
        with tempfile.NamedTemporaryFile(prefix="tombolo-") as file:
            file.write(buffer)
            file.flush()
            yield file.name


def attach(source: str | bytes) -> memoryview:
    """The buffer that a task was given: itself, or the name of a file from :meth:`Pool.share`."""
    if isinstance(source, bytes):
        return memoryview(source)
    with open(source, "rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


INLINE = Pool(None, 1, local=True)


@contextmanager
def open_pool(workers: int | None = None, *, private: PrivateKey | None = None, executor: Executor | None = None) -> Iterator[Pool]:
    """A pool of ``workers`` processes (default: all processors), or a wrapping of a given executor.

    ``private`` is given to the processes so that :func:`fl_tasks.crypto.vector.decrypt` can use them; it is ignored
    with a given executor, whose workers may be anywhere. The given executor is not shut down.
    """
    count = default_workers() if workers is None else workers
    if executor is not None:
        yield Pool(executor, max(1, count), local=False)
        return
    if count <= 1 or multiprocessing.current_process().daemon:
        yield INLINE
        return
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    secret = private.to_bytes() if private is not None else None
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(count, mp_context=context, initializer=_hold, initargs=(secret,)) as processes:
        yield Pool(processes, count, local=True, private=private)
