"""The arbiter's part of an index: ciphertexts by token, in small buckets. A question reads only one bucket per lender."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tombolo.fl_tasks.crypto import ristretto
from tombolo.fl_tasks.crypto.paillier import PublicKey
from tombolo.fl_tasks.crypto.vector import CipherVector
from tombolo.fl_tasks.protocols.lending_query.keys import Keeping
from tombolo.fl_tasks.protocols.lending_query.state import DEPOSITS

TOKEN_BYTES = 32
_PER_BUCKET = 4096


def token(point: bytes) -> bytes:
    """The value that the arbiter matches: SHA-256 of a point under all exponents, including the exponent of the arbiter."""
    return hashlib.sha256(b"tombolo/lending/token/1" + point).digest()


class Deposits:
    """The deposits of all lenders in one index, without the earlier indexes that it updates."""

    def __init__(self, keeping: Keeping, run: str) -> None:
        self._state, self._buckets = keeping.state, DEPOSITS.of(run)

    def store(self, party: str, points: bytes, values: CipherVector) -> None:
        """Keep the deposit of one lender by token. What is kept already is not replaced."""
        tokens = [token(point) for point in ristretto.split(points)]
        bits = max(0, (len(tokens) // _PER_BUCKET).bit_length())
        buckets = np.array([_bucket(name, bits) for name in tokens], dtype=np.int64)
        order = np.argsort(buckets, kind="stable")
        bounds = np.searchsorted(buckets[order], np.arange((1 << bits) + 1))
        for bucket in range(1 << bits):
            rows = order[bounds[bucket] : bounds[bucket + 1]]
            if len(rows):
                table = pa.table(
                    {"token": pa.array([tokens[at] for at in rows], pa.binary(TOKEN_BYTES)), "value": values.take(rows).to_arrow()}
                )
                sink = io.BytesIO()
                pq.write_table(table, sink, compression="none")
                self._state.keep(self._buckets.of(party, bits, bucket), sink.getvalue())

    def parties(self) -> dict[str, int]:
        """The lenders with deposits; for each, how many leading bits of a token give its bucket."""
        return {item.key[1]: int(item.key[2]) for item in self._state.all(self._buckets)}

    def find(self, tokens: list[bytes], key: PublicKey) -> Iterator[tuple[int, str, CipherVector]]:
        """Every match: the position of the token in ``tokens``, the lender, and the ciphertext."""
        for party, bits in self.parties().items():
            wanted: dict[int, list[int]] = {}
            for at, name in enumerate(tokens):
                wanted.setdefault(_bucket(name, bits), []).append(at)
            for bucket, places in wanted.items():
                stored = self._state.get(self._buckets.of(party, bits, bucket))
                if stored is None:
                    continue
                table = pq.read_table(pa.BufferReader(stored))
                rows = {name: row for row, name in enumerate(table.column("token").to_pylist())}
                column = table.column("value").combine_chunks()
                for at in places:
                    if (row := rows.get(tokens[at])) is not None:
                        yield at, party, CipherVector(key, column[row].as_py())


def _bucket(name: bytes, bits: int) -> int:
    return int.from_bytes(name[:4], "big") >> (32 - bits)
