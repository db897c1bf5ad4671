"""Distributes ciphertext work to processes, or to any ``concurrent.futures`` executor such as Dask's.

Tasks are sent as flat buffers, and their results are bytes of a length that is known before. A private key is never sent as an
argument: the workers of a local pool get it once, through their initializer, and another executor never gets one. Small work runs
in the calling process.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from tombolo.fl_tasks.crypto.errors import WorkersLost, WrongResult
from tombolo.fl_tasks.crypto.paillier import PrivateKey
from tombolo.storage.errors import CodedError

Token = bytes | tuple[str, int, int]
_WORTH_SHIPPING_US = 400_000.0
_CHUNK_US = 100_000.0
_LOOK_SECONDS = 5.0
_held_key: PrivateKey | None = None


def default_workers() -> int:
    """The number of processors, limited by the environment variable TOMBOLO_WORKERS."""
    processors = os.cpu_count() or 1
    limit = os.environ.get("TOMBOLO_WORKERS", "")
    return max(1, min(processors, int(limit))) if limit.isdigit() else processors


def _hold(key: bytes | None) -> None:
    global _held_key
    _held_key = PrivateKey.from_bytes(key, shortest=0) if key is not None else None  # its length was checked where the key was made


def held_key() -> PrivateKey:
    """The private key that this worker was started with."""
    if _held_key is None:
        raise RuntimeError("this worker was started without a private key")
    return _held_key


class Work:
    """A function and its arguments. The arguments do not appear in its text, because executors print and log what they run."""

    __slots__ = ("_arguments", "_function")

    def __init__(self, function: Callable[..., bytes], arguments: tuple[Any, ...]) -> None:
        self._function, self._arguments = function, arguments

    def __call__(self) -> bytes:
        return self._function(*self._arguments)

    def __repr__(self) -> str:
        return self._function.__name__


class Pending:
    """A result of ``size`` bytes that a worker computes. ``look`` is called during the wait; it raises if no result can come."""

    def __init__(self, future: Future[bytes], size: int, look: Callable[[], None]) -> None:
        self._future, self._size, self._look = future, size, look

    def result(self) -> bytes:
        """Wait for the bytes. Raises :class:`WorkersLost`, :class:`WrongResult`, or the work's own coded error."""
        while not wait([self._future], _LOOK_SECONDS).done:
            self._look()
        result: object = _asked(self._future.result)
        if not isinstance(result, bytes) or len(result) != self._size:
            raise WrongResult(f"A result of {self._size} bytes was expected.")
        return result


def _asked(ask: Callable[..., Any], *arguments: Any) -> Any:
    """Call the executor. Every error that is not a coded error becomes :class:`WorkersLost`."""
    try:
        return ask(*arguments)
    except CodedError:
        raise
    except Exception as error:
        raise WorkersLost(f"{type(error).__name__}.") from error


class Pool:
    """An executor, and what the kernels need to know about it. :func:`open_pool` makes it."""

    def __init__(
        self,
        executor: Executor | None,
        workers: int,
        *,
        local: bool,
        private: PrivateKey | None = None,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self.executor = executor
        self.workers = workers
        self.local = local
        self.key_id = private.public.key_id if private is not None and local and executor is not None else None
        self._look = look

    def pays(self, total_us: float) -> bool:
        """Whether work that takes ``total_us`` in one process should be sent to the executor."""
        return self.executor is not None and total_us >= _WORTH_SHIPPING_US

    def split(self, count: int, cost_us: float) -> list[slice]:
        """Slices of ``range(count)``, one per task. There is a single slice if the work is too small for the executor."""
        total = count * cost_us
        if not self.pays(total):
            return [slice(0, count)]
        pieces = min(count, max(self.workers, min(4 * self.workers, int(total / _CHUNK_US))))
        bounds = [count * i // pieces for i in range(pieces + 1)]
        return [slice(a, b) for a, b in pairwise(bounds)]

    def submit(self, function: Callable[..., bytes], task: tuple[Any, ...], size: int) -> Pending:
        """Let the executor compute ``function(*task)``, a result of ``size`` bytes. The pool must have an executor."""
        assert self.executor is not None
        return Pending(_asked(self.executor.submit, Work(function, task)), size, self._look)

    def map(self, function: Callable[..., bytes], tasks: Sequence[tuple[Any, ...]], sizes: Sequence[int]) -> list[bytes]:
        """The results of ``function(*task)`` in order, with lengths ``sizes``. A single task runs in this process."""
        if self.executor is None or len(tasks) == 1:
            return [function(*task) for task in tasks]
        pending = [self.submit(function, task, size) for task, size in zip(tasks, sizes, strict=True)]
        return [part.result() for part in pending]

    @contextmanager
    def share(self, buffer: memoryview) -> Iterator[Callable[[int, int], Token]]:
        """Give a function ``part(start, stop)``. It returns a token for these bytes of a large public buffer; see :func:`attach`.

        Local workers map one temporary file for all tasks. Other workers get the bytes themselves in each task.
        """
        if not self.local or self.executor is None:
            yield lambda start, stop: bytes(buffer[start:stop])
            return
        with tempfile.NamedTemporaryFile(prefix="tombolo-") as file:
            file.write(buffer)
            file.flush()
            yield lambda start, stop: (file.name, start, stop)


def attach(token: Token) -> memoryview:
    """The bytes behind a token of :meth:`Pool.share`."""
    if isinstance(token, bytes):
        return memoryview(token)
    name, start, stop = token
    with open(name, "rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[start:stop]


INLINE = Pool(None, 1, local=True)


@contextmanager
def open_pool(workers: int | None = None, *, private: PrivateKey | None = None, executor: Executor | None = None) -> Iterator[Pool]:
    """A pool of ``workers`` processes (default: one per processor), or a pool over a given executor.

    The processes get ``private`` so that :func:`tombolo.fl_tasks.crypto.vector.decrypt` can use them. A given executor does not
    get it, because its workers may be anywhere. The given executor is not shut down. It must compute every call again, because
    equal calls make different encryptions of zero.
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
    context.set_forkserver_preload(["tombolo.fl_tasks.crypto.matvec"])  # imported once, and not by every worker
    processes = ProcessPoolExecutor(count, mp_context=context, initializer=_hold, initargs=(secret,))
    try:
        yield Pool(processes, count, local=True, private=private)
    finally:
        processes.shutdown(cancel_futures=True)  # cancels results that were ordered early and are not needed any more
