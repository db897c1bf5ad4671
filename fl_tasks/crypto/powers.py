"""Tables of the powers of a fixed base modulo n^2. A table is made once per public key and kept on disk.

A large table is a file in the user's cache folder. The first process that needs it makes it, and the other processes of the machine
read it. A damaged file is made again. If there is no folder that only this user can write to, every process makes its own table.
A table is computed from the public key alone, so it is not secret.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gmpy2
import numpy as np
import numpy.typing as npt
from gmpy2 import mpz

from tombolo.fl_tasks.crypto.factors import Factors, factor, join
from tombolo.fl_tasks.crypto.paillier import PublicKey

FactorTable = list[list[Factors]]
_MAGIC = b"tombolo/powers/2"
_DIGEST_BYTES = 32
_LEAST_KEPT_WINDOW = 10
_TABLES_KEPT = 3


def folder() -> Path:
    """The folder of the tables: ``tombolo/powers`` in the user's cache folder (XDG_CACHE_HOME)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "tombolo" / "powers"


def kept(public: PublicKey, exponent_bits: int, window: int) -> bool:
    """Whether a table of this size is already on disk."""
    return _file(public, exponent_bits, window).is_file()


def _file(public: PublicKey, exponent_bits: int, window: int) -> Path:
    return folder() / f"{public.key_id}-{exponent_bits}-{window}"


class Powers:
    """Powers of a base: row i has base^(j * 2^(window * i)) for all j below 2^window."""

    def __init__(self, public: PublicKey, base: Callable[[PublicKey], mpz], exponent_bits: int, window: int) -> None:
        self.public, self.window = public, window
        make = _Maker(public, base, window, -(-exponent_bits // window))
        keeps = window >= _LEAST_KEPT_WINDOW
        self._rows = (_kept(_file(public, exponent_bits, window), make) if keeps else None) or make.rows()

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self._rows)

    def products(self, digits: npt.NDArray[np.int64]) -> list[Factors]:
        """For each line of ``digits``, shape (count, rows), the product of one power from each row.

        Works row by row, and in each row in the order of its powers, so that a large table is read from memory in order.
        """
        modulus, first, rest = self.public.nsquare, self._rows[0], self._rows[1:]
        factors = [first[digit] for digit in digits[:, 0].tolist()]
        us, vs = [u for u, _ in factors], [v for _, v in factors]
        for row, column in zip(rest, digits.T[1:], strict=True):
            order = np.argsort(column)
            for at, digit in zip(order.tolist(), column[order].tolist(), strict=True):
                u, v = row[digit]
                us[at] = us[at] * u % modulus
                vs[at] += v
        return list(zip(us, vs, strict=True))


class _Maker:
    """Makes the rows, and writes and reads their file: a magic number, a digest, then the factors one after the other."""

    def __init__(self, public: PublicKey, base: Callable[[PublicKey], mpz], window: int, rows: int) -> None:
        self._public, self._base, self._window, self._rows = public, base, window, rows

    def rows(self) -> FactorTable:
        """Make the rows, with about two multiplications per power."""
        rows, power = [], self._base(self._public)
        for _ in range(self._rows):
            row = _row(self._public, power, 1 << self._window)
            rows.append(row)
            power = join(self._public, *row[-1]) * power % self._public.nsquare
        return rows

    def write(self, rows: FactorTable) -> bytes:
        """The content of the file for these rows."""
        width = self._public.residue_width
        body = b"".join([number.to_bytes(width, "big") for row in rows for factors in row for number in factors])
        return b"".join([_MAGIC, hashlib.sha256(body).digest(), body])

    def read(self, data: bytes) -> FactorTable | None:
        """The rows in a file's content, or None if it is damaged."""
        start, width, read = len(_MAGIC) + _DIGEST_BYTES, self._public.residue_width, mpz.from_bytes
        size = (self._rows << self._window) * 2 * width
        body = data[start:]
        if len(body) != size or data[:start] != _MAGIC + hashlib.sha256(body).digest():
            return None
        numbers = [read(body[at : at + width], "big") for at in range(0, size, width)]
        pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
        return [pairs[at : at + (1 << self._window)] for at in range(0, len(pairs), 1 << self._window)]


def _row(public: PublicKey, base: mpz, count: int) -> list[Factors]:
    """The first ``count`` powers of a base. The second factors need inverses, which are powers too."""
    n, (u, v), row = public.n, (mpz(1), mpz(0)), [(mpz(1), mpz(0))]
    (base_u,), (base_v,) = factor(public, [base])
    inverse, base_inverse = mpz(1), gmpy2.invert(base_u, n)
    for _ in range(count - 1):
        carry, u = divmod(u * base_u, n)
        inverse = inverse * base_inverse % n
        v = (v + base_v + carry * inverse) % n
        row.append((u, v))
    return row


def _kept(file: Path, make: _Maker) -> FactorTable | None:
    """The rows in a file. A missing or damaged file is made and written. None if no file can be read or written."""
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
    """Let one process at a time work in a folder. Raises OSError if other users can write to the folder."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = place.stat()
    if about.st_uid != os.getuid() or about.st_mode & 0o022:
        raise PermissionError
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _forget_oldest(place: Path) -> None:
    """Delete all tables except those that were used last."""
    tables = sorted((file for file in place.iterdir() if file.name != "lock"), key=lambda file: file.stat().st_mtime)
    for table in tables[:-_TABLES_KEPT]:
        table.unlink(missing_ok=True)
