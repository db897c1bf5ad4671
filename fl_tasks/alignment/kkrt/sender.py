"""The sender: it has more ids, can evaluate the function at every id, and is told by the receiver which ids are common."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from tombolo.fl_tasks.alignment.kkrt.base_transfers import Chooser
from tombolo.fl_tasks.alignment.kkrt.bins import bin_count
from tombolo.fl_tasks.alignment.kkrt.extension import ROW_BYTES, BitMatrix, stretch
from tombolo.fl_tasks.alignment.kkrt.ids import (
    Blocks,
    bins_of,
    code_words,
    divided,
    for_function,
    part_bound,
    part_count,
    tokens,
)
from tombolo.fl_tasks.alignment.kkrt.messages import (
    GROUPS,
    BadTransfer,
    UnknownToken,
    received_points,
    received_rows,
    to_column,
)
from tombolo.fl_tasks.alignment.kkrt.tags import Tags, ascend, ascending, tag_bytes, tags
from tombolo.fl_tasks.crypto import ristretto
from tombolo.fl_tasks.runtime.session import Session

_TOKEN_BYTES, _SEED_BYTES = 16, 32
_BATCH = 1 << 16


def common_rows(session: Session, blocks: Blocks, salt: bytes, sizes: dict[str, int]) -> list[int]:
    """Positions of the common ids, in the order that both parties share."""
    (peer,) = (party for party in session.data_parties if party != session.me)
    parts, width = part_count(list(sizes.values())), tag_bytes(*sizes.values())
    bound, bins = part_bound(len(blocks), parts), bin_count(part_bound(sizes[peer], parts))
    divisions = divided(blocks, parts, session.me)
    chooser = Chooser(session.prf("base transfers").stream(), salt)
    zeros, ones = (ristretto.points_to_arrow(b"".join(points)) for points in chooser.points)
    session.send("base_choices", zero=zeros, one=ones)  # step 3
    reply = session.receive("base_reply", peer)  # step 4
    (answer,) = received_points(session, reply, "point", 1, peer)
    seed = session.scalar(reply, "seed")
    if len(seed) != _SEED_BYTES:
        raise BadTransfer(f"The seed has {len(seed)} bytes instead of {_SEED_BYTES}.", party=peer)
    keys, choices = chooser.keys(answer), np.frombuffer(chooser.choices, "<u8")
    for number, rows in enumerate(divisions):
        session.within(number)
        pads = _pads(session, keys, choices, number, bins, peer)  # step 5
        own, noise = blocks[rows], session.prf("padding", number).stream()
        groups = {}
        for function, at in enumerate(bins_of(own, seed, bins)):
            padded = np.empty((bound, width), np.uint8)
            padded[: len(own)] = _tags(pads, for_function(own, function), at, number, choices, salt, width)
            padded[len(own) :] = np.frombuffer(noise.bytes((bound - len(own)) * width), np.uint8).reshape(-1, width)
            groups[GROUPS[function]] = to_column(padded[ascending(padded)])
        session.send("id_tags", **groups)  # step 6
    session.within(None)
    return _named(session, blocks, min(sizes.values()), peer)


def _pads(session: Session, keys: list[bytes], choices: BitMatrix, number: int, bins: int, peer: str) -> BitMatrix:
    """One row for each bin: the receiver's pad; at the bits where the choice is 1, XORed with the receiver's code word."""
    matrix = received_rows(session, session.receive("code_matrix", peer, bins), "row", (bins, ROW_BYTES), peer)
    pads = stretch(keys, number, bins)
    for start in range(0, bins, _BATCH):
        pads[start : start + _BATCH] ^= matrix[start : start + _BATCH].view("<u8") & choices
    return pads


def _tags(
    pads: BitMatrix, marked: Blocks, at: npt.NDArray[np.int64], number: int, choices: BitMatrix, salt: bytes, width: int
) -> Tags:
    """The oblivious function of each bin ``at``, evaluated at the block for that bin.

    If the receiver asked for the same id in this bin, the code words cancel; otherwise they do not.
    """
    values = np.empty((len(marked), width), np.uint8)
    for start in range(0, len(marked), _BATCH):
        batch = slice(start, start + _BATCH)
        rows = pads[at[batch]] ^ (code_words(marked[batch], salt) & choices)
        values[batch] = tags(rows, at[batch] + (number << 32), width, salt)
    return values


def _named(session: Session, blocks: Blocks, most: int, peer: str) -> list[int]:
    """The rows that the receiver reports as common, in the receiver's order. Raises BadTransfer or UnknownToken."""
    table = session.receive("common_tokens", peer, most)  # step 7
    theirs = received_rows(session, table, "token", (table.num_rows, _TOKEN_BYTES), peer)
    if len(theirs) > most or not ascend(theirs):
        raise BadTransfer("In column token there are too many tokens, or they are out of order or occur twice.", party=peer)
    own = tokens(blocks, session.pair(peer).derive("common tokens"))
    places = pc.index_in(to_column(own), value_set=to_column(theirs)).fill_null(-1).to_numpy()
    common = np.flatnonzero(places >= 0)
    if len(common) != len(theirs):
        raise UnknownToken(f"There are {len(theirs) - len(common)} such ids.", party=peer)
    return [int(row) for row in common[np.argsort(places[common])]]
