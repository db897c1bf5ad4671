"""Ciphertext work on a party's own Dask cluster. Only work without the private key runs there.

The cluster sees ciphertexts, public keys, the numbers that the party multiplies them by (fixed-point columns and bins without names
or ids, its part of predictions) and the randomness of its encryptions. The cluster must be under the party's own control: workers
run any code that they are sent, and their results are trusted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tombolo.fl_tasks.crypto.errors import WorkersLost
from tombolo.fl_tasks.crypto.pool import Pool

_CONNECT_SECONDS = 30.0
_EMPTY_SECONDS = 60.0


@contextmanager
def open_cluster(address: str) -> Iterator[Pool]:
    """A pool over the Dask cluster at ``dask://host:port`` or ``tls://host:port``, the two forms that the party settings accept.

    For ``tls``, Dask's own configuration names the certificates. If a worker dies, other workers do its work. Raises
    :class:`WorkersLost` if there is no worker or no scheduler.
    """
    client = _connect(address)
    try:
        watch = _Watch(client)
        executor = client.get_executor(pure=False)  # pure=False: equal calls for encryptions of zero must not share one result
        yield Pool(executor, watch.workers(), local=False, look=watch.look)
    finally:
        client.close(timeout=_CONNECT_SECONDS)


def _connect(address: str) -> Any:
    import dask
    from distributed import Client

    dask.config.set({"distributed.admin.large-graph-warning-threshold": "16 GiB"})  # tasks contain their data
    try:
        return Client(address.replace("dask://", "tcp://"), set_as_default=False, timeout=_CONNECT_SECONDS)
    except Exception as error:
        raise WorkersLost(f"There is no scheduler at {address} ({type(error).__name__}).") from error


class _Watch:
    """Watches whether results of work that was given to a cluster can still arrive."""

    def __init__(self, client: Any) -> None:
        self._client, self._stream = client, client.scheduler_comm
        self._seen = time.monotonic()

    def workers(self) -> int:
        """The number of workers. Waits for the first one."""
        while not (workers := self._count()):
            self._patience()
            time.sleep(0.1)
        return workers

    def look(self) -> None:
        """Raise :class:`WorkersLost` if the scheduler has lost the work, or if there has been no worker for a minute."""
        if not self._count():
            self._patience()

    def _count(self) -> int:
        try:
            workers = len(self._client.scheduler_info()["workers"])
        except Exception as error:
            raise WorkersLost(f"The scheduler does not answer ({type(error).__name__}).") from error
        if self._client.scheduler_comm is not self._stream:  # a new connection: the scheduler at its end does not know the work
            raise WorkersLost("The connection to the scheduler was lost.")
        if workers:
            self._seen = time.monotonic()
        return workers

    def _patience(self) -> None:
        if time.monotonic() - self._seen > _EMPTY_SECONDS:
            raise WorkersLost("The cluster has no workers.")
