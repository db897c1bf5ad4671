"""HTTP answers of bounded size and time: an S3 server of a peer may send bytes without end, whatever its headers say."""

from __future__ import annotations

import io
import time
from typing import Any

import urllib3
from urllib3.response import BaseHTTPResponse

from tombolo.storage.stores.base import TooLarge

_LARGEST_ANSWER = 8 << 20
"""The most bytes of an answer that is no object: a listing of 1,000 keys, a policy, an error."""
_PIECE = 1 << 16
_GRACE, _SLOWEST = 120.0, 20_000
"""An answer may take 120 seconds, and one more second for each 20,000 bytes."""


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


class _Bounded(urllib3.PoolManager):
    """Reads every answer that is no object in full, but within bounds, before the client sees it."""

    def urlopen(self, method: str, url: str, redirect: bool = True, **kw: Any) -> BaseHTTPResponse:  # type: ignore[override]
        """As in urllib3. Raises TooLarge for an endless answer."""
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
