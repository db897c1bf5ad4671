"""A store: ``share:///folder``, a directory that must be mounted."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import SplitResult, unquote

from tombolo.storage.stores.base import BadStoreAddress, Store
from tombolo.storage.stores.local import LocalStore


def open_share(parts: SplitResult, base: Path) -> Store:
    """Unlike ``file:``, a folder that is not there is refused instead of made: its file system is not mounted."""
    folder = base / unquote(parts.path)
    if parts.netloc or not folder.is_dir():
        raise BadStoreAddress("A share is share:///folder, and the folder exists.")
    return LocalStore(folder)
