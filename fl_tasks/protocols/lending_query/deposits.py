"""What the arbiter holds of an index: ciphertexts by token, in buckets small enough that a question reads one of each lender's."""

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
    """What the arbiter matches by: SHA-256 of a point under all exponents, its own among them."""
    return hashlib.sha256(b"tombolo/lending/token/1" + point).digest()


class Deposits:
    """All lenders' deposits of one index, without what it brings up to date."""

    def __init__(self, keeping: Keeping, run: str) -> None:
        self._state, self._buckets = keeping.state, DEPOSITS.of(run)

    def store(self, party: str, points: bytes, values: CipherVector) -> None:
        """Keep one lender's deposit by token; what is kept already stands."""
        tokens = [token(one) for one in ristretto.split(points)]
        bits = max(0, (len(tokens) // _PER_BUCKET).bit_length())
        buckets = np.array([_bucket(one, bits) for one in tokens], dtype=np.int64)
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
        """Who deposited, with the bits of a token that name its bucket."""
        return {one.key[1]: int(one.key[2]) for one in self._state.all(self._buckets)}

    def find(self, tokens: list[bytes], key: PublicKey) -> Iterator[tuple[int, str, CipherVector]]:
        """Every match: which token, whose deposit, and the ciphertext."""
        for party, bits in self.parties().items():
            wanted: dict[int, list[int]] = {}
            for at, one in enumerate(tokens):
                wanted.setdefault(_bucket(one, bits), []).append(at)
            for bucket, places in wanted.items():
                stored = self._state.get(self._buckets.of(party, bits, bucket))
                if stored is None:
                    continue
                table = pq.read_table(pa.BufferReader(stored))
                rows = {one: row for row, one in enumerate(table.column("token").to_pylist())}
                column = table.column("value").combine_chunks()
                for at in places:
                    if (row := rows.get(tokens[at])) is not None:
                        yield at, party, CipherVector(key, column[row].as_py())


def _bucket(one: bytes, bits: int) -> int:
    return int.from_bytes(one[:4], "big") >> (32 - bits)
