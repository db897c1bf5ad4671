"""A store in an S3 bucket, through the ``minio`` client."""

from __future__ import annotations

import os
import random
import re
import ssl
import time
from collections.abc import Callable
from datetime import UTC
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, S3Error, ServerError
from pydantic import BaseModel, ConfigDict, SecretStr

from tombolo.storage.errors import CodedError
from tombolo.storage.stores.base import (
    ANY_SIZE,
    MOST_KEYS,
    BadStoreAddress,
    KeyMissing,
    KeyTaken,
    Stat,
    StoreRefused,
    StoreUnreachable,
    TooLarge,
    check_key,
    check_prefix,
    is_key,
)
from tombolo.storage.stores.bounded import BoundedPool, BoundedProxy, at_most_requests, read_at_most

T = TypeVar("T")
_ATTEMPTS = 4
_LEAST_OF_A_PAGE = 100
"""How many keys a page of a listing has, except the last."""
Names = list[str]  # the method ``list`` hides the type inside the class
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,61}[A-Za-z0-9]")
_MISSING, _REFUSED = {"NoSuchKey", "NoSuchObject"}, {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}


class S3Config(BaseModel):
    """The address of a bucket and the credentials. ``prefix`` is put before every key; ``endpoint`` is ``host[:port]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str
    bucket: str
    prefix: str = ""
    region: str = "us-east-1"
    access_key: SecretStr
    secret_key: SecretStr
    secure: bool = True
    ca_file: Path | None = None
    proxy: str | None = None


class MinioStore:
    """Objects in a bucket. A put is conditional (``If-None-Match: *``); the server must support this (:mod:`.probe` checks it)."""

    def __init__(self, config: S3Config) -> None:
        prefix = config.prefix.strip("/")
        if not _BUCKET.fullmatch(config.bucket):
            raise BadStoreAddress("The name of a bucket must have 3 to 63 letters, digits, dots, dashes and underscores.")
        if prefix and not is_key(prefix):
            raise BadStoreAddress("The prefix in the bucket is not a valid object key.")
        self.config = config
        self._prefix = f"{prefix}/" if prefix else ""
        self._made: tuple[int, Minio] | None = None

    @property
    def url(self) -> str:
        """The store's address, without credentials."""
        scheme = "https" if self.config.secure else "http"
        return f"s3://{self.config.bucket}/{self._prefix}?endpoint={scheme}://{self.config.endpoint}"

    @property
    def client(self) -> Minio:
        """The minio client, made at first use in each process, because two processes must not share a connection."""
        made = self._made
        if made is None or made[0] != os.getpid():
            made = self._made = (os.getpid(), connect(self.config))
        return made[1]

    def put(self, key: str, data: bytes, permanent: bool = False) -> None:
        """Write a new object. Raises KeyTaken, StoreRefused or StoreUnreachable."""
        name = self._prefix + check_key(key)
        # The public put_object would turn the condition into user metadata, so this calls a private method of minio.
        condition = {"If-None-Match": "*", "Content-Type": "application/octet-stream"}
        if permanent and self.locks:
            condition |= {"x-amz-object-lock-legal-hold": "ON"}
        try:
            self._ask(lambda: self.client._put_object(self.config.bucket, name, data, condition), name, data)  # type: ignore[arg-type]
        except _Conflict:
            raise KeyTaken(key) from None

    @cached_property
    def locks(self) -> bool:
        """Whether the bucket has object lock, so that an object can be locked against deletion."""
        try:
            return self._ask(lambda: self.client.get_object_lock_config(self.config.bucket), "") is not None
        except (KeyMissing, StoreRefused, StoreUnreachable):  # servers without object lock give different answers
            return False

    def get(self, key: str, most: int = ANY_SIZE) -> bytes:
        """Read an object. Raises KeyMissing, TooLarge, StoreRefused or StoreUnreachable."""
        return self._read(self._prefix + check_key(key), most)

    def list(self, prefix: str = "", most: int = MOST_KEYS) -> list[str]:
        """Keys that start with ``prefix``, sorted. Raises TooLarge."""
        wanted = self._prefix + check_prefix(prefix)

        def names() -> list[str]:
            entries = self.client.list_objects(self.config.bucket, prefix=wanted, recursive=True)
            keys: Names = []
            with at_most_requests(most // _LEAST_OF_A_PAGE + _ATTEMPTS):
                for number, entry in enumerate(entries):
                    if number == most:
                        raise TooLarge(f"More than {most} objects.")
                    name = entry.object_name or ""
                    key = name.removeprefix(self._prefix)
                    if name.startswith(wanted) and is_key(key):  # S3 consoles make "folder/" objects; a peer may write any name
                        keys.append(key)
            return sorted(keys)

        return self._ask(names, wanted)

    def delete(self, key: str) -> None:
        """Delete an object. A missing object is not an error."""
        name = self._prefix + check_key(key)
        self._ask(lambda: self.client.remove_object(self.config.bucket, name), name)

    def stat(self, key: str) -> Stat:
        """Size and time of an object. Raises KeyMissing."""
        name = self._prefix + check_key(key)

        def stat() -> Stat:
            answer = self.client.stat_object(self.config.bucket, name)
            if answer.last_modified is None:
                raise StoreUnreachable(f"{self.url} does not say when the object was written.")
            return Stat(answer.size or 0, answer.last_modified.astimezone(UTC))

        return self._ask(stat, name)

    def _ask(self, call: Callable[[], T], name: str, writing: bytes | None = None) -> T:
        """Call the server, with a few more tries after errors that may go away. Returns the value or raises a coded error."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return call()
            except (S3Error, InvalidResponseError) as error:
                trouble = self._translate(error, name)
                if trouble is not None:
                    if attempt > 1 and isinstance(trouble, _Conflict) and self._is(name, writing):
                        return None  # type: ignore[return-value]  # our earlier try worked
                    raise trouble from None
            except (TimeoutError, urllib3.exceptions.TimeoutError):
                if attempt > 1:  # others must not wait long for a server that does not answer
                    break
            except (ServerError, urllib3.exceptions.HTTPError, OSError):
                pass
            except (CodedError, MemoryError):
                raise
            except Exception as error:  # a server that is none, or a hostile one: the client reads its headers and XML unchecked
                raise StoreUnreachable(f"{self.url} gives answers that are not those of S3 ({type(error).__name__}).") from None
            if attempt < _ATTEMPTS:
                time.sleep(0.1 * 2**attempt * (0.5 + random.random()))  # noqa: S311 - spreads retries, no secret
        raise StoreUnreachable(self.url)

    def _translate(self, error: S3Error | InvalidResponseError, name: str) -> Exception | None:
        """The error to raise for an S3 answer, or None if another try may help.

        Some servers send errors as text; then the client knows only the status.
        """
        if isinstance(error, S3Error):
            code, status = error.code or "", getattr(error.response, "status", 0)
        else:
            code, status = "", error._code
        if code in _MISSING or (status == 404 and code != "NoSuchBucket"):
            return KeyMissing(name)
        if code == "PreconditionFailed" or status == 412:
            return _Conflict()
        if code in _REFUSED or status == 403:
            return StoreRefused(self.url)
        if status >= 500 or status == 409 or code == "SlowDown":
            return None
        return StoreUnreachable(f"{self.url} answers with {code or status}.")

    def _is(self, name: str, data: bytes | None) -> bool:
        try:
            return data is not None and self._read(name, len(data)) == data
        except TooLarge:
            return False

    def _read(self, name: str, most: int) -> bytes:
        def read() -> bytes:
            response = self.client.get_object(self.config.bucket, name)
            try:
                return read_at_most(response, most)
            except BaseException:
                response.close()  # the rest must not be read as the next answer
                raise
            finally:
                response.release_conn()

        return self._ask(read, name)


class _Conflict(Exception):
    """The server refused to overwrite an object."""


def connect(config: S3Config) -> Minio:
    """A minio client for a configuration. The region is always given, because a peer has no right to ask the server for it."""
    try:
        context = ssl.create_default_context(cafile=str(config.ca_file) if config.ca_file else None)
    except OSError:
        raise BadStoreAddress("The certificate authority file cannot be read.") from None
    timeout = urllib3.Timeout(connect=10, read=30)
    try:
        options: dict[str, Any] = {"ssl_context": context, "timeout": timeout, "maxsize": 16, "retries": False}
        http = BoundedProxy(config.proxy, **options) if config.proxy else BoundedPool(**options)
        return Minio(
            config.endpoint,
            access_key=config.access_key.get_secret_value(),
            secret_key=config.secret_key.get_secret_value(),
            secure=config.secure,
            region=config.region,
            http_client=http,
        )
    except ValueError:
        raise BadStoreAddress("The endpoint, the region or the proxy is not valid.") from None
