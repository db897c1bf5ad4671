"""A store in a folder, on the local disk or on a shared file system."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from tombolo.storage.stores.base import (
    ANY_SIZE,
    MOST_KEYS,
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

_TEMPORARY = "~"  # not allowed in keys, so an unfinished file is never an object
_PASS: int = getattr(os, "O_PATH", os.O_RDONLY)  # opens a folder without the right to list it
_LAST_TIME = 1 << 32  # file systems can hold times that Python cannot
_AROUND = 10
"""How many folders and other things there may be for each key of a listing."""
Names = list[str]  # the method ``list`` hides the type inside the class


class LocalStore:
    """Objects as files in a folder. Only the user that writes them can read them.

    A put writes a temporary file, flushes it to disk and then links it to its name. The link fails if the name exists. So an object
    is created once, completely or not at all, and a killed writer leaves nothing that a reader sees. Each folder of a key is opened
    in turn, and symbolic links are refused, because a peer that writes the folder could make links to other folders.
    """

    def __init__(self, folder: Path | str) -> None:
        self._root = Path(folder).absolute()

    @property
    def url(self) -> str:
        """The store's address."""
        return f"file://{self._root}"

    def put(self, key: str, data: bytes, permanent: bool = False) -> None:
        """Write a new file, completely or not at all. Raises KeyTaken."""
        *folders, name = check_key(key).split("/")
        with self._coded():
            try:
                folder = self._open(folders, make=True)
            except NotADirectoryError:
                raise KeyTaken(f"A part of the path {key} is an object or a link.") from None
            try:
                _write(folder, name, data)
            except FileExistsError:
                raise KeyTaken(key) from None
            finally:
                os.close(folder)

    def get(self, key: str, most: int = ANY_SIZE) -> bytes:
        """Read a file. Raises KeyMissing or TooLarge."""
        with self._at(key) as (folder, name):
            # Without O_NONBLOCK, opening a named pipe waits for ever if nothing writes to it.
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise KeyMissing(key)
                if status.st_size > most:
                    raise TooLarge(f"A file of {status.st_size} bytes; at most {most} were expected.")
                with os.fdopen(descriptor, "rb", closefd=False) as file:
                    return file.read(status.st_size)
            finally:
                os.close(descriptor)

    def list(self, prefix: str = "", most: int = MOST_KEYS) -> list[str]:
        """Keys that start with ``prefix``, sorted. Raises TooLarge."""
        above, _, start = check_prefix(prefix).rpartition("/")
        keys: Names = []
        with self._coded(), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            folder = self._open(above.split("/") if above else [])
            try:
                _walk(folder, ".", f"{above}/" if above else "", start, keys, most, count())
            finally:
                os.close(folder)
        return sorted(keys)

    def delete(self, key: str) -> None:
        """Delete a file. A missing file is not an error."""
        with contextlib.suppress(KeyMissing), self._at(key) as (folder, name):
            if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=folder)

    def stat(self, key: str) -> Stat:
        """Size and time of a file. Raises KeyMissing."""
        with self._at(key) as (folder, name):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                raise KeyMissing(key)
            return Stat(status.st_size, datetime.fromtimestamp(min(max(status.st_mtime, 0), _LAST_TIME), UTC))

    @contextlib.contextmanager
    def _at(self, key: str) -> Iterator[tuple[int, str]]:
        """The open folder of a key, and the last part of the key. Raises KeyMissing if either does not exist."""
        *folders, name = check_key(key).split("/")
        with self._coded():
            try:
                folder = self._open(folders)
                try:
                    yield folder, name
                finally:
                    os.close(folder)
            except (FileNotFoundError, NotADirectoryError):
                raise KeyMissing(key) from None

    def _open(self, folders: Sequence[str], make: bool = False) -> int:
        """A descriptor of a folder below the root; with ``make`` the folder is created. Only the root itself may be a link."""
        if make and not self._root.is_dir():
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        here = os.open(self._root, _PASS | os.O_DIRECTORY)
        try:
            for name in folders:
                inner = _enter(here, name, make)
                os.close(here)
                here = inner
        except BaseException:
            os.close(here)
            raise
        return here

    @contextlib.contextmanager
    def _coded(self) -> Iterator[None]:
        """Turn errors of the file system into coded errors."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.ELOOP, errno.EROFS):
                raise StoreRefused(self.url) from None
            raise StoreUnreachable(f"{self.url}: {error.strerror}.") from None


def _enter(above: int, name: str, make: bool) -> int:
    """Open a folder inside an open folder. Raises NotADirectoryError for a file and for a link."""
    flags = _PASS | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        return os.open(name, flags, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
    with contextlib.suppress(FileExistsError):  # another writer was faster
        os.mkdir(name, 0o700, dir_fd=above)
        _flush(above)
    return os.open(name, flags, dir_fd=above)


def _write(folder: int, name: str, data: bytes) -> None:
    """Create a complete file in an open folder and flush it to disk. Raises FileExistsError."""
    with contextlib.suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    temporary = f"{_TEMPORARY}{secrets.token_hex(8)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
    _flush(folder)


def _walk(above: int, name: str, prefix: str, start: str, keys: Names, most: int, seen: Iterator[int]) -> None:
    """Add to ``keys`` the keys in a folder whose next part begins with ``start``. Links and invalid names are left out.

    Raises TooLarge if there are more than ``most``, or many more folders and other things than that.
    """
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                key = prefix + entry.name
                if not entry.name.startswith(start):
                    continue
                if next(seen) > _AROUND * (most + _AROUND):
                    raise TooLarge(f"Far more than {most} folders and files.")
                if not is_key(key):
                    continue
                if entry.is_file(follow_symlinks=False):
                    if len(keys) == most:
                        raise TooLarge(f"More than {most} objects.")
                    keys.append(key)
                elif entry.is_dir(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # deleted meanwhile
                        _walk(folder, entry.name, f"{key}/", "", keys, most, seen)
    finally:
        os.close(folder)


def _flush(folder: int) -> None:
    """Flush a folder's new entry to disk."""
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
