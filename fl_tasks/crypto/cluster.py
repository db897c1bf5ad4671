"""Ciphertext work on a party's own Dask cluster: what needs no private key goes there, and nothing else.

The cluster sees ciphertexts, public keys, what the party multiplies them by (fixed-point columns and bins without names or ids, its
part of predictions) and the randomness of its encryptions. It belongs inside the party's boundary: workers run what they are sent,
and are believed.
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
    """A pool over the Dask cluster at ``dask://host:port`` or ``tls://host:port``, which are what the party settings accept.

    For ``tls`` Dask's own configuration names the certificates. Workers that die are replaced by others; raises
    :class:`WorkersLost` where there are none, or no scheduler.
    """
    client = _connect(address)
    try:
        watch = _Watch(client)
        executor = client.get_executor(pure=False)  # equal calls for encryptions of zero must not share a result
        yield Pool(executor, watch.workers(), local=False, look=watch.look)
    finally:
        client.close(timeout=_CONNECT_SECONDS)


def _connect(address: str) -> Any:
    import dask
    from distributed import Client

    dask.config.set({"distributed.admin.large-graph-warning-threshold": "16 GiB"})  # work carries its data
    try:
        return Client(address.replace("dask://", "tcp://"), set_as_default=False, timeout=_CONNECT_SECONDS)
    except Exception as error:
        raise WorkersLost(f"No scheduler at {address} ({type(error).__name__}).") from error


class _Watch:
    """Whether work that was given to a cluster can still come back."""

    def __init__(self, client: Any) -> None:
        self._client, self._stream = client, client.scheduler_comm
        self._seen = time.monotonic()

    def workers(self) -> int:
        """How many there are; waits for the first."""
        while not (workers := self._count()):
            self._patience()
            time.sleep(0.1)
        return workers

    def look(self) -> None:
        """Raise :class:`WorkersLost` when the scheduler has forgotten the work, or nobody has been there to do it for a minute."""
        if not self._count():
            self._patience()

    def _count(self) -> int:
        try:
            workers = len(self._client.scheduler_info()["workers"])
        except Exception as error:
            raise WorkersLost(f"The scheduler does not answer ({type(error).__name__}).") from error
        if self._client.scheduler_comm is not self._stream:  # connected anew: to a scheduler that knows of nothing
            raise WorkersLost("The connection to the scheduler was lost.")
        if workers:
            self._seen = time.monotonic()
        return workers

    def _patience(self) -> None:
        if time.monotonic() - self._seen > _EMPTY_SECONDS:
            raise WorkersLost("The cluster has no workers.")
