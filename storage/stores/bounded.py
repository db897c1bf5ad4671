"""HTTP answers of bounded size and time: an S3 server of a peer may send bytes without end, whatever its headers say."""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import BaseHTTPResponse

from tombolo.storage.stores.base import TooLarge

_LARGEST_ANSWER = 8 << 20
"""The most bytes of an answer that is no object: a listing of 1,000 keys, a policy, an error."""
_PIECE = 1 << 16
_GRACE, _SLOWEST = 120.0, 20_000
"""An answer may take 120 seconds, and one more second for each 20,000 bytes."""
_LONGEST_HEAD = 1 << 18
"""The most bytes before the body of an answer, with all interim answers."""
_left: ContextVar[list[int] | None] = ContextVar("requests that are left", default=None)


@contextmanager
def at_most_requests(number: int) -> Iterator[None]:
    """Within it, one more request than ``number`` raises TooLarge: a server may send pages of a listing without end."""
    before = _left.set([number])
    try:
        yield
    finally:
        _left.reset(before)


def read_at_most(response: BaseHTTPResponse, most: int) -> bytes:
    """The body of an answer, as it was sent. Raises TooLarge, or TimeoutError if it comes too slowly.

    Encodings such as gzip are not decoded, because a few bytes could become gigabytes.
    """
    data, began = bytearray(), time.monotonic()
    while piece := response.read1(_PIECE, decode_content=False):
        data += piece
        if len(data) > most:
            raise TooLarge(f"An answer of more than {most} bytes.")
        if time.monotonic() - began > _GRACE + len(data) / _SLOWEST:
            raise TimeoutError("the answer comes too slowly")
    return bytes(data)


class _Head(io.RawIOBase):
    """The lines of an answer around its body: not too many bytes, and not for too long, even if each of them comes in time."""

    def __init__(self, source: Any, connection: Any) -> None:
        self._source, self._connection = source, connection
        self._ends, self._left = time.monotonic() + _GRACE, _LONGEST_HEAD

    def readline(self, size: int | None = -1, /) -> bytes:
        """One line, as http.client reads it."""
        line = bytearray()
        most = self._left if size is None or size < 0 else min(size, self._left)
        while len(line) < most and not line.endswith(b"\n"):
            left = self._ends - time.monotonic()
            if left <= 0:
                raise TimeoutError("the answer's headers come too slowly")
            waits = self._connection.gettimeout()
            self._connection.settimeout(left if waits is None else min(left, waits))
            piece = self._source.read(1)
            if not piece:
                break
            line += piece
        self._left -= len(line)
        if self._left <= 0:
            raise TooLarge("The headers of an answer are too long.")
        return bytes(line)


class _Response(http.client.HTTPResponse):
    """An answer whose lines (status, headers, sizes of chunks, trailers) are read within bounds."""

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._connection = sock

    def begin(self) -> None:
        with self._bounded():
            super().begin()

    def _read_next_chunk_size(self) -> int:
        with self._bounded():
            return int(super()._read_next_chunk_size())  # type: ignore[misc]

    def _read_and_discard_trailer(self) -> None:
        with self._bounded():
            super()._read_and_discard_trailer()  # type: ignore[misc]

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        body, waits = self.fp, self._connection.gettimeout()
        head: Any = _Head(body, self._connection)
        self.fp = head
        try:
            yield
        finally:
            self._connection.settimeout(waits)
            if self.fp is head:
                self.fp = body


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Bounded(urllib3.PoolManager):
    """Reads every answer that is no object in full, but within bounds, before the client sees it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def urlopen(self, method: str, url: str, redirect: bool = True, **kw: Any) -> BaseHTTPResponse:  # type: ignore[override]
        """As in urllib3. Raises TooLarge for an endless answer."""
        left = _left.get()
        if left is not None:
            left[0] -= 1
            if left[0] < 0:
                raise TooLarge("A listing has pages without end.")
        streamed = kw.pop("preload_content", True) is False
        response = super().urlopen(method, url, redirect, preload_content=False, **kw)
        if streamed and response.status in (200, 206):
            return response
        try:
            body = read_at_most(response, _LARGEST_ANSWER)
        except BaseException:
            response.close()  # the rest of the answer must not be read as the next one
            raise
        response.release_conn()
        return urllib3.HTTPResponse(
            io.BytesIO(body),
            response.headers,
            response.status,
            reason=response.reason,
            preload_content=False,
            request_method=method,
        )


class BoundedPool(_Bounded):
    """A pool of connections to S3 servers."""


class BoundedProxy(_Bounded, urllib3.ProxyManager):
    """A pool of connections through a proxy."""
