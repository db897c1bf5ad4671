"""Opens a store by its address. The scheme of the address names an entry point of the group ``tombolo.stores``.

Tombolo has the schemes ``file:``, ``s3:``, ``memory:`` and ``airflow:`` (an Airflow connection).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from pydantic import SecretStr

from tombolo.storage.errors import CodedError
from tombolo.storage.plugins import BrokenPlugin, NoSuchPlugin, find, offered
from tombolo.storage.stores.base import BadStoreAddress, Store
from tombolo.storage.stores.local import LocalStore
from tombolo.storage.stores.memory import MemoryStore

GROUP = "tombolo.stores"
Opener = Callable[[SplitResult, Path], Store]
"""Opens a store, without a request to it, from the split address and the folder in which relative paths start.

Raises BadStoreAddress; its text must not repeat any part of the address that could be secret.
"""
_MEMORY: dict[str, MemoryStore] = {}
_OF_THE_OPENER = {"credentials", "ca", "proxy"}
_S3_OPTIONS = {"endpoint", "region", *_OF_THE_OPENER}
_LONGEST_ADDRESS = 1000


def open_store(address: str, base: Path | None = None, plugins: Collection[str] = ()) -> Store:
    """Open a store, without a request to it. Raises :class:`BadStoreAddress` or errors of :func:`tombolo.storage.plugins.find`.

    These are the built-in schemes; the distributions ``plugins`` may have more:

    - ``file:///folder`` or ``file:./folder`` (relative to ``base``);
    - ``s3://bucket/prefix?endpoint=https://host:port&region=...&credentials=NAME&ca=FILE&proxy=URL``: the keys are read from the
      environment variables ``NAME_ACCESS_KEY`` and ``NAME_SECRET_KEY`` (default ``TOMBOLO_S3``), or, if ``credentials``
      is ``file:PATH``, from a JSON file with ``access_key`` and ``secret_key``;
    - ``airflow://connection``: an Airflow connection of type ``aws``;
    - ``memory://name``: in this process only.
    """
    parts = urlsplit(address)
    if parts.username or parts.password:
        raise BadStoreAddress("It contains a user name or a password.")
    try:
        plugin = find(GROUP, parts.scheme, plugins)
    except NoSuchPlugin:
        known = ", ".join(offered(GROUP, plugins))
        scheme = f"The scheme {parts.scheme} is unknown" if parts.scheme else "The scheme is missing"
        raise BadStoreAddress(f"{scheme}; known schemes: {known or 'none, because tombolo is not installed'}.") from None
    opener: Opener = plugin.offered
    try:
        return opener(parts, base or Path.cwd())
    except CodedError:
        raise
    except Exception as error:  # its text may contain the address
        raise BrokenPlugin(f"{parts.scheme} of {plugin.distribution}: {type(error).__name__}.") from None


def require_shareable(address: str) -> str:
    """Return an address that all members may open. Raises ValueError if it would make them use secrets of their own.

    ``airflow:`` names a connection, and ``credentials``, ``ca`` and ``proxy`` name variables and files of the machine that opens
    the address. A party sets these for a peer's store in its own settings.
    """
    parts = urlsplit(address)
    private = sorted(_OF_THE_OPENER & set(parse_qs(parts.query, keep_blank_values=True)))
    if parts.scheme == "airflow" or private or parts.username or parts.password:
        what = ", ".join(f"{name}=" for name in private) or "airflow:, a user name or a password"
        raise ValueError(
            f"{what} in a store's address would make peers use their own secrets; each party sets them in its settings"
        )
    if len(address) > _LONGEST_ADDRESS or not address.isprintable():
        raise ValueError("a store's address has at most 1,000 printable characters")
    return address


def open_directory(parts: SplitResult, base: Path) -> Store:
    """Open ``file:``, a folder."""
    path = Path(unquote(parts.path))
    if parts.netloc or not str(path).strip("."):
        raise BadStoreAddress("The address of a folder is file:///folder.")
    return LocalStore(base / path)


def open_memory(parts: SplitResult, base: Path) -> Store:
    """Open ``memory:``, one store per name in this process."""
    return _MEMORY.setdefault(parts.netloc, MemoryStore(parts.netloc))


def open_connection(parts: SplitResult, base: Path) -> Store:
    """Open ``airflow:``, an Airflow connection."""
    return from_airflow_connection(_airflow_connection(parts.netloc), unquote(parts.path))


def from_airflow_connection(connection: Any, path: str = "") -> Store:
    """A store from an Airflow connection of type ``aws`` or ``fs``.

    ``aws``: login and password are the keys; extra holds ``endpoint_url``, ``region_name``, ``verify`` (a CA file), ``bucket`` and
    ``prefix`` (the address's path, ``airflow://connection/bucket/prefix``, comes first). ``fs``: extra ``path`` is the folder.
    Raises :class:`BadStoreAddress` if something is missing.
    """
    from tombolo.storage.stores.minio import MinioStore, S3Config

    extra, which = connection.extra_dejson, f"The Airflow connection {connection.conn_id}"
    if connection.conn_type == "fs":
        if not isinstance(extra.get("path"), str):
            raise BadStoreAddress(f"{which} does not have the extra field path.")
        return LocalStore(extra["path"])
    if connection.conn_type != "aws":
        raise BadStoreAddress(f"{which} has type {connection.conn_type}; it must be aws or fs.")
    if not connection.login or not connection.password:
        raise BadStoreAddress(f"{which} has no login (access key) or no password (secret key).")
    bucket, _, prefix = path.strip("/").partition("/")
    endpoint = _endpoint(extra.get("endpoint_url") or "https://s3.amazonaws.com")
    verify = extra.get("verify")
    return MinioStore(
        S3Config(
            endpoint=endpoint.netloc,
            secure=endpoint.scheme == "https",
            bucket=bucket or extra.get("bucket", ""),
            prefix=prefix or extra.get("prefix", ""),
            region=extra.get("region_name") or "us-east-1",
            access_key=SecretStr(connection.login),
            secret_key=SecretStr(connection.password),
            ca_file=Path(verify) if isinstance(verify, str) else None,
        )
    )


def open_s3(parts: SplitResult, base: Path) -> Store:
    """Open ``s3:``, a bucket."""
    from tombolo.storage.stores.minio import MinioStore, S3Config

    bucket, path, options = parts.netloc, parts.path, {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if not bucket or "endpoint" not in options or set(options) - _S3_OPTIONS:
        raise BadStoreAddress(f"s3:// needs a bucket and endpoint=; allowed options: {', '.join(sorted(_S3_OPTIONS))}.")
    endpoint, proxy = _endpoint(options["endpoint"]), options.get("proxy")
    if proxy is not None:
        _endpoint(proxy, "The proxy")
    access_key, secret_key = _credentials(options.get("credentials", "TOMBOLO_S3"), base)
    return MinioStore(
        S3Config(
            endpoint=endpoint.netloc,
            secure=endpoint.scheme == "https",
            bucket=bucket,
            prefix=unquote(path).strip("/"),
            region=options.get("region", "us-east-1"),
            access_key=access_key,
            secret_key=secret_key,
            ca_file=base / options["ca"] if "ca" in options else None,
            proxy=proxy,
        )
    )


def _endpoint(address: str, what: str = "The endpoint") -> SplitResult:
    """Split ``http(s)://host:port``. Anything more is refused: it would be ignored, or it could be a secret."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.path.strip("/") or parts.query:
        raise BadStoreAddress(f"{what} must be https://host or https://host:port, without credentials or path.")
    return parts


def _airflow_connection(name: str) -> Any:
    try:
        from airflow.sdk import BaseHook
        from airflow.sdk.exceptions import AirflowNotFoundException
    except ImportError:
        raise BadStoreAddress("airflow:// needs Apache Airflow, which is not installed here.") from None
    try:
        return BaseHook.get_connection(name)
    except AirflowNotFoundException:
        raise BadStoreAddress(f"Airflow has no connection {name}.") from None


def _credentials(where: str, base: Path) -> tuple[SecretStr, SecretStr]:
    """The access key and the secret key, from the environment or a file. Error texts name the place, never a value."""
    if where.startswith("file:"):
        path = base / where.removeprefix("file:")
        try:
            document = json.loads(path.read_text())
            return SecretStr(document["access_key"]), SecretStr(document["secret_key"])
        except (OSError, ValueError, KeyError, TypeError):
            raise BadStoreAddress(f"The credentials file {path} cannot be read, or has no access_key or secret_key.") from None
    try:
        return SecretStr(os.environ[f"{where}_ACCESS_KEY"]), SecretStr(os.environ[f"{where}_SECRET_KEY"])
    except KeyError:
        raise BadStoreAddress(f"Set both environment variables: {where}_ACCESS_KEY and {where}_SECRET_KEY.") from None
