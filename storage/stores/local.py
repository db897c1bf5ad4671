"""A store in a directory: the embedded default, and what a shared file system can carry."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

from storage.stores.base import KeyMissing, KeyTaken, Stat, StoreRefused, StoreUnreachable, check_key

_TEMPORARY = ".tmp-"
Names = list[str]  # the method ``list`` hides the type inside the class


class LocalStore:
    """Objects as files below a folder.

    A put writes a temporary file, flushes it to disk and links it into place: the link fails where the key exists, so that
    creation is atomic and exclusive, and a killed writer leaves nothing that a reader could see.
    """

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder).absolute()

    @property
    def url(self) -> str:
        return f"file://{self._folder}"

    def put(self, key: str, data: bytes) -> None:
        path = self._path(key)
        if path.exists():
            raise KeyTaken(key)
        temporary = path.parent / f"{_TEMPORARY}{secrets.token_hex(8)}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.link(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
            _flush(path.parent)
        except FileExistsError:
            raise KeyTaken(key) from None
        except NotADirectoryError:
            raise KeyTaken(f"{key} lies below another object.") from None
        except PermissionError:
            raise StoreRefused(self.url) from None
        except OSError as error:
            raise StoreUnreachable(f"{self.url}: {error.strerror}.") from None

    def get(self, key: str) -> bytes:
        path = self._path(key)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            with os.fdopen(descriptor, "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise KeyMissing(key) from None
        except OSError:
            raise StoreRefused(self.url) from None

    def list(self, prefix: str = "") -> list[str]:
        folder, _, start = prefix.rpartition("/")
        if folder:
            check_key(folder)
        found: Names = []
        self._walk(self._folder / folder, f"{folder}/" if folder else "", start, found)
        return sorted(found)

    def delete(self, key: str) -> None:
        try:
            self._path(key).unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError:
            raise StoreRefused(self.url) from None

    def stat(self, key: str) -> Stat:
        try:
            found = os.lstat(self._path(key))
        except (FileNotFoundError, NotADirectoryError):
            raise KeyMissing(key) from None
        return Stat(found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def _path(self, key: str) -> Path:
        return self._folder / check_key(key)

    def _walk(self, folder: Path, prefix: str, start: str, found: Names) -> None:
        """Collect the keys below ``folder`` whose first name begins with ``start``; links are not followed."""
        try:
            entries = list(os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return
        except PermissionError:
            raise StoreRefused(self.url) from None
        for entry in entries:
            if not entry.name.startswith(start) or entry.name.startswith(_TEMPORARY):
                continue
            if entry.is_dir(follow_symlinks=False):
                self._walk(folder / entry.name, f"{prefix}{entry.name}/", "", found)
            elif entry.is_file(follow_symlinks=False):
                found.append(prefix + entry.name)


def _flush(folder: Path) -> None:
    """Make the new directory entry durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
