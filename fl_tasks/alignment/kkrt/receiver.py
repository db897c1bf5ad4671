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
    """One part of the list, placed: ``rows`` of it by position, who is in which bin, and each one's hash function."""

    rows: npt.NDArray[np.int64]
    holds: npt.NDArray[np.int32]
    used: npt.NDArray[np.uint8]


def common_rows(session: Session, blocks: Blocks, salt: bytes, sizes: dict[str, int]) -> list[int]:
    """Positions of the common ids, in the order that both parties share."""
    (peer,) = (party for party in session.data_parties if party != session.me)
    parts = part_count(list(sizes.values()))
    bound, width = part_bound(sizes[peer], parts), tag_bytes(*sizes.values())
    offered = session.receive("base_choices", peer)  # step 3
    zeros, ones = (received_points(session, offered, name, TRANSFERS, peer) for name in ("zero", "one"))
    seed, placed = _placed(session, blocks, parts)
    try:
        answer, *keys = offer(ristretto.random_scalar(session.prf("base transfers").stream()), zeros, ones, salt)
    except InvalidPoint as error:  # a pair made so that one of its bases is the identity
        raise error.at(peer) from None
    session.send("base_reply", point=ristretto.points_to_arrow(answer), seed=seed)  # step 4
    own = []
    for number, part in enumerate(placed):
        session.within(number)
        own.append(_asked(session, part, number, blocks, keys, salt, width))  # step 5
    common = []
    for number, part in enumerate(placed):
        session.within(number)
        theirs = session.receive("id_tags", peer)  # step 6
        for function, name in enumerate(GROUPS):
            group = received_rows(session, theirs, name, (bound, width), peer)
            if not ascend(group):
                raise BadTransfer(f"{name}: tags out of order, or twice.", party=peer)
            mine = np.flatnonzero(part.used == function)
            found = pc.is_in(to_column(own[number][mine]), value_set=to_column(group)).to_numpy(zero_copy_only=False)
            common.append(part.rows[mine[found]])
    session.within(None)
    rows = np.concatenate(common)
    named = tokens(blocks[rows], session.pair(peer).derive("common tokens"))
    order = ascending(named)
    session.send("common_tokens", token=to_column(named[order]))  # step 7
    return [int(row) for row in rows[order]]


def _placed(session: Session, blocks: Blocks, parts: int) -> tuple[bytes, list[Part]]:
    """A seed under which every part can be placed, and the placements. A seed that fails is thrown away, before any is sent."""
    divisions, bins = divided(blocks, parts, session.me), bin_count(part_bound(len(blocks), parts))
    attempt = 0
    while True:
        secret = session.prf("bins", attempt)
        seed, found = secret.derive("seed"), []
        for number, rows in enumerate(divisions):
            placement = place(bins_of(blocks[rows], seed, bins), bins, secret.stream("walk", number))
            if placement is not None:
                found.append(Part(rows, *placement))
        if len(found) == parts:
            return seed, found
        attempt += 1


def _asked(session: Session, part: Part, number: int, blocks: Blocks, keys: list[list[bytes]], salt: bytes, width: int) -> Tags:
    """Send the masked code words of one part, one per bin, random ones for empty bins; returns the tags of the part's ids."""
    rows = stretch(keys[0], number, len(part.holds))
    matrix = stretch(keys[1], number, len(part.holds))
    matrix ^= rows
    at = np.flatnonzero(part.holds != EMPTY)
    held = part.holds[at]
    matrix[at] ^= code_words(for_function(blocks[part.rows[held]], part.used[held]), salt)
    empty = np.flatnonzero(part.holds == EMPTY)
    matrix[empty] ^= session.prf("dummies", number).stream().uint64(len(empty) * WORDS).reshape(-1, WORDS)
    session.send("code_matrix", row=to_column(matrix))
    found = np.empty((len(part.rows), width), np.uint8)
    found[held] = tags(rows[at], at + (number << 32), width, salt)
    return found
