"""Tables of the powers of a fixed base modulo n^2, made once per public key and kept on disk.

A large table is a file in the user's cache folder: whoever needs it first makes it, the other processes of the machine
read it. A file that is not what its maker wrote is made anew; where no folder can be had that only this user writes to,
every process makes its own. Everything in a table follows from the public key.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from gmpy2 import mpz

from fl_tasks.crypto.halves import ONE, Halves, multiply
from fl_tasks.crypto.paillier import PublicKey

Rows = list[list[Halves]]
_MAGIC = b"tombolo/powers/1"
_DIGEST_BYTES = 32
_LEAST_KEPT_WINDOW = 10
_TABLES_KEPT = 3


def folder() -> Path:
    """Where tables are kept: ``tombolo/powers`` in the user's cache folder (XDG_CACHE_HOME)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "tombolo" / "powers"


def kept(public: PublicKey, exponent_bits: int, window: int) -> bool:
    """Whether a table of this size need not be made."""
    return _file(public, exponent_bits, window).is_file()


def _file(public: PublicKey, exponent_bits: int, window: int) -> Path:
    return folder() / f"{public.key_id}-{exponent_bits}-{window}"


class Table:
    """Powers of a base modulo n^2: row i has base^(j * 2^(window * i)) for all j below 2^window."""

    def __init__(self, n: mpz, window: int, rows: Rows) -> None:
        self.window = window
        self._n, self._rows = n, rows

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def products(self, digits: npt.NDArray[np.int64]) -> list[Halves]:
        """For each line of ``digits``, shape (count, rows), the product of one power per row.

        Row by row, each in the order of its powers: a large table is read from memory once, not from all over it.
        """
        n, first, rest = self._n, self._rows[0], self._rows[1:]
        found = [first[digit] for digit in digits[:, 0].tolist()]
        for row, column in zip(rest, digits.T[1:], strict=True):
            order = np.argsort(column)
            for at, digit in zip(order.tolist(), column[order].tolist(), strict=True):
                high, low = found[at]
                other_high, other_low = row[digit]
                carry, product = divmod(low * other_low, n)
                found[at] = (low * other_high + high * other_low + carry) % n, product
        return found


def tabulate(base: mpz, n: mpz, exponent_bits: int, window: int) -> Rows:
    """The rows of a table for exponents of so many bits: a multiplication each."""
    found = []
    power: Halves = divmod(base, n)
    for _ in range(-(-exponent_bits // window)):
        row = [ONE]
        for _ in range((1 << window) - 1):
            row.append(multiply(row[-1], power, n))
        found.append(row)
        power = multiply(row[-1], power, n)
    return found


class Powers(Table):
    """The table of a public key, where it is large kept on disk."""

    def __init__(self, public: PublicKey, base: Callable[[PublicKey], mpz], exponent_bits: int, window: int) -> None:
        make = _Maker(public, base, window, exponent_bits)
        keeps = window >= _LEAST_KEPT_WINDOW
        rows = (_kept(_file(public, exponent_bits, window), make) if keeps else None) or make.rows()
        super().__init__(public.n, window, rows)


class _Maker:
    """Makes the rows, and knows the form of their file: a magic number, a digest, and the halves one after the other."""

    def __init__(self, public: PublicKey, base: Callable[[PublicKey], mpz], window: int, exponent_bits: int) -> None:
        self._public, self._base, self._window, self._bits = public, base, window, exponent_bits

    def rows(self) -> Rows:
        return tabulate(self._base(self._public), self._public.n, self._bits, self._window)

    def write(self, rows: Rows) -> bytes:
        width = self._public.residue_width
        body = b"".join([half.to_bytes(width, "big") for row in rows for halves in row for half in halves])
        return b"".join([_MAGIC, hashlib.sha256(body).digest(), body])

    def read(self, data: bytes) -> Rows | None:
        """The rows of a file; None if it is not as it was written."""
        start, width, read = len(_MAGIC) + _DIGEST_BYTES, self._public.residue_width, mpz.from_bytes
        size = (-(-self._bits // self._window) << self._window) * 2 * width
        body = data[start:]
        if len(body) != size or data[:start] != _MAGIC + hashlib.sha256(body).digest():
            return None
        halves = [read(body[at : at + width], "big") for at in range(0, size, width)]
        pairs = list(zip(halves[::2], halves[1::2], strict=True))
        return [pairs[at : at + (1 << self._window)] for at in range(0, len(pairs), 1 << self._window)]


def _kept(file: Path, make: _Maker) -> Rows | None:
    """The rows in a file, made and written if it is not there or damaged; None where no file can be had."""
    try:
        with _alone(file.parent):
            rows = make.read(file.read_bytes()) if file.is_file() else None
            if rows is None:
                rows = make.rows()
                with tempfile.NamedTemporaryFile(dir=file.parent, prefix="new-", delete=False) as new:
                    new.write(make.write(rows))
                os.replace(new.name, file)
                _forget_oldest(file.parent)
            os.utime(file)
            return rows
    except OSError:
        return None


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """One process at a time, in a folder that only this user can write to; raises OSError otherwise."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = place.stat()
    if about.st_uid != os.getuid() or about.st_mode & 0o022:
        raise PermissionError
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _forget_oldest(place: Path) -> None:
    """Keep the tables last used."""
    tables = sorted((one for one in place.iterdir() if one.name != "lock"), key=lambda one: one.stat().st_mtime)
    for table in tables[:-_TABLES_KEPT]:
        table.unlink(missing_ok=True)
