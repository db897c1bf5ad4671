"""The receiver: it has fewer ids, learns the common ones first, and tells the sender."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from tombolo.fl_tasks.alignment.kkrt.base_transfers import TRANSFERS, offer
from tombolo.fl_tasks.alignment.kkrt.bins import EMPTY, bin_count, place
from tombolo.fl_tasks.alignment.kkrt.extension import WORDS, stretch
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
from tombolo.fl_tasks.alignment.kkrt.messages import GROUPS, BadTransfer, received_points, received_rows, to_column
from tombolo.fl_tasks.alignment.kkrt.tags import Tags, ascend, ascending, tag_bytes, tags
from tombolo.fl_tasks.crypto import ristretto
from tombolo.fl_tasks.crypto.errors import InvalidPoint
from tombolo.fl_tasks.runtime.session import Session


@dataclass(frozen=True)
class Part:
    """One part of the list with its ids placed into bins.

    ``rows``: the positions of the part's ids in the list. ``holds``: for each bin, the id in it (its place in ``rows``, or EMPTY).
    ``used``: for each id, the hash function that places it.
    """

    rows: npt.NDArray[np.int64]
    holds: npt.NDArray[np.int32]
    used: npt.NDArray[np.uint8]


def common_rows(session: Session, blocks: Blocks, salt: bytes, sizes: dict[str, int]) -> list[int]:
    """Positions of the common ids, in the order that both parties share."""
    (peer,) = (party for party in session.data_parties if party != session.me)
    parts = part_count(list(sizes.values()))
    bound, width = part_bound(sizes[peer], parts), tag_bytes(*sizes.values())
    offered = session.receive("base_choices", peer, TRANSFERS)  # step 3
    zeros, ones = (received_points(session, offered, name, TRANSFERS, peer) for name in ("zero", "one"))
    seed, placed = _placed(session, blocks, parts)
    try:
        answer, *keys = offer(ristretto.random_scalar(session.prf("base transfers").stream()), zeros, ones, salt)
    except InvalidPoint as error:  # the sender made a pair for which one of the bases is the identity
        raise error.at(peer) from None
    session.send("base_reply", point=ristretto.points_to_arrow(answer), seed=seed)  # step 4
    own = []
    for number, part in enumerate(placed):
        session.within(number)
        own.append(_asked(session, part, number, blocks, keys, salt, width))  # step 5
    common = []
    for number, part in enumerate(placed):
        session.within(number)
        theirs = session.receive("id_tags", peer, bound)  # step 6
        for function, name in enumerate(GROUPS):
            group = received_rows(session, theirs, name, (bound, width), peer)
            if not ascend(group):
                raise BadTransfer(f"In column {name}, tags are out of order or occur twice.", party=peer)
            mine = np.flatnonzero(part.used == function)
            is_common = pc.is_in(to_column(own[number][mine]), value_set=to_column(group)).to_numpy(zero_copy_only=False)
            common.append(part.rows[mine[is_common]])
    session.within(None)
    rows = np.concatenate(common)
    named = tokens(blocks[rows], session.pair(peer).derive("common tokens"))
    order = ascending(named)
    session.send("common_tokens", token=to_column(named[order]))  # step 7
    return [int(row) for row in rows[order]]


def _placed(session: Session, blocks: Blocks, parts: int) -> tuple[bytes, list[Part]]:
    """A seed with which every part can be placed, and the placements. Seeds that fail are dropped before one is sent."""
    divisions, bins = divided(blocks, parts, session.me), bin_count(part_bound(len(blocks), parts))
    attempt = 0
    while True:
        secret = session.prf("bins", attempt)
        seed, placed = secret.derive("seed"), []
        for number, rows in enumerate(divisions):
            placement = place(bins_of(blocks[rows], seed, bins), bins, secret.stream("walk", number))
            if placement is not None:
                placed.append(Part(rows, *placement))
        if len(placed) == parts:
            return seed, placed
        attempt += 1


def _asked(session: Session, part: Part, number: int, blocks: Blocks, keys: list[list[bytes]], salt: bytes, width: int) -> Tags:
    """Send the masked code words of one part, one for each bin, random for empty bins. Returns the tags of the part's ids."""
    rows = stretch(keys[0], number, len(part.holds))
    matrix = stretch(keys[1], number, len(part.holds))
    matrix ^= rows
    at = np.flatnonzero(part.holds != EMPTY)
    held = part.holds[at]
    matrix[at] ^= code_words(for_function(blocks[part.rows[held]], part.used[held]), salt)
    empty = np.flatnonzero(part.holds == EMPTY)
    matrix[empty] ^= session.prf("dummies", number).stream().uint64(len(empty) * WORDS).reshape(-1, WORDS)
    session.send("code_matrix", row=to_column(matrix))
    own_tags = np.empty((len(part.rows), width), np.uint8)
    own_tags[held] = tags(rows[at], at + (number << 32), width, salt)
    return own_tags
