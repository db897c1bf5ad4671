"""From an address to a store: ``file://``, ``s3://``, ``memory://`` or an Airflow connection."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import SecretStr

from storage.stores.base import BadStoreAddress, Store
from storage.stores.local import LocalStore
from storage.stores.memory import MemoryStore

_MEMORY: dict[str, MemoryStore] = {}
_S3_OPTIONS = {"endpoint", "region", "credentials", "ca", "proxy"}


def open_store(address: str, base: Path | None = None) -> Store:
    """Open a store without touching it. Raises :class:`BadStoreAddress`.

    - ``file:///folder`` or ``file:./folder`` (relative to ``base``);
    - ``s3://bucket/prefix?endpoint=https://host:port&region=...&credentials=NAME&ca=FILE&proxy=URL``: the keys are read from the
      environment variables ``NAME_ACCESS_KEY`` and ``NAME_SECRET_KEY`` (default ``TOMBOLO_S3``), or, where ``credentials``
      is ``file:PATH``, from a JSON file with ``access_key`` and ``secret_key``;
    - ``airflow://connection``: an Airflow connection of type ``aws``;
    - ``memory://name``: in this process only.
    """
    parts = urlsplit(address)
    if parts.username or parts.password:
        raise BadStoreAddress("It contains credentials.")
    if parts.scheme == "file":
        path = Path(unquote(parts.path))
        if parts.netloc or not str(path).strip("."):
            raise BadStoreAddress("A directory store is file:///folder.")
        return LocalStore(path if path.is_absolute() else (base or Path.cwd()) / path)
    if parts.scheme == "memory":
        return _MEMORY.setdefault(parts.netloc, MemoryStore(parts.netloc))
    if parts.scheme == "s3":
        return _s3(parts.netloc, parts.path, {name: values[-1] for name, values in parse_qs(parts.query).items()}, base)
    if parts.scheme == "airflow":
        from airflow.sdk import BaseHook

        return from_airflow_connection(BaseHook.get_connection(parts.netloc), unquote(parts.path))
    raise BadStoreAddress(f"Scheme {parts.scheme or 'missing'}.")


def from_airflow_connection(connection: Any, path: str = "") -> Store:
    """A store from an Airflow connection of type ``aws`` or ``fs``.

    ``aws``: login and password are the keys; extra holds ``endpoint_url``, ``region_name``, ``verify`` (a CA file), ``bucket`` and
    ``prefix`` (the address's path, ``airflow://connection/bucket/prefix``, comes first). ``fs``: extra ``path`` is the folder.
    """
    from storage.stores.minio import MinioStore, S3Config

    extra = connection.extra_dejson
    if connection.conn_type == "fs":
        return LocalStore(extra["path"])
    if connection.conn_type != "aws":
        raise BadStoreAddress(f"Airflow connection {connection.conn_id} is of type {connection.conn_type}.")
    bucket, _, prefix = path.strip("/").partition("/")
    endpoint = urlsplit(extra.get("endpoint_url") or "https://s3.amazonaws.com")
    verify = extra.get("verify")
    return MinioStore(
        S3Config(
            endpoint=endpoint.netloc,
            secure=endpoint.scheme != "http",
            bucket=bucket or extra.get("bucket", ""),
            prefix=prefix or extra.get("prefix", ""),
            region=extra.get("region_name") or "us-east-1",
            access_key=SecretStr(connection.login or ""),
            secret_key=SecretStr(connection.password or ""),
            ca_file=Path(verify) if isinstance(verify, str) else None,
        )
    )


def _s3(bucket: str, path: str, options: dict[str, str], base: Path | None) -> Store:
    from storage.stores.minio import MinioStore, S3Config

    if not bucket or "endpoint" not in options or set(options) - _S3_OPTIONS:
        raise BadStoreAddress(f"s3:// needs a bucket and endpoint=; options are {', '.join(sorted(_S3_OPTIONS))}.")
    endpoint = urlsplit(options["endpoint"])
    if endpoint.scheme not in ("http", "https") or not endpoint.netloc or endpoint.username:
        raise BadStoreAddress("endpoint= is https://host or https://host:port.")
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
            ca_file=Path(options["ca"]) if "ca" in options else None,
            proxy=options.get("proxy"),
        )
    )


def _credentials(where: str, base: Path | None) -> tuple[SecretStr, SecretStr]:
    """Access and secret key from the environment or from a file; error texts name the place, never a value."""
    if where.startswith("file:"):
        path = Path(where.removeprefix("file:"))
        path = path if path.is_absolute() else (base or Path.cwd()) / path
        try:
            document = json.loads(path.read_text())
            return SecretStr(document["access_key"]), SecretStr(document["secret_key"])
        except (OSError, ValueError, KeyError, TypeError):
            raise BadStoreAddress(f"Credentials file {path} cannot be read or lacks access_key or secret_key.") from None
    try:
        return SecretStr(os.environ[f"{where}_ACCESS_KEY"]), SecretStr(os.environ[f"{where}_SECRET_KEY"])
    except KeyError:
        raise BadStoreAddress(f"Environment variables {where}_ACCESS_KEY and {where}_SECRET_KEY are not set.") from None
