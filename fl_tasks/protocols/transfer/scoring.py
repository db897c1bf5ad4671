"""Scores of the rows of the target: the target sends its numbers encrypted, and the source turns them into Phi . u_B.

If the target receives scores, the source sends them back, and the target decrypts them. If the source receives scores (held-out
rows in an evaluation), the target decrypts them under a one-time pad, and the source removes the pad.
"""

from __future__ import annotations

from collections.abc import Iterable

from tombolo.fl_tasks.crypto.fixedpoint import check_headroom, encode
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt, encrypt
from tombolo.fl_tasks.learning.vertical.key_holder import own_key, peer_key, vector
from tombolo.fl_tasks.learning.vertical.rows import MOST_ROWS
from tombolo.fl_tasks.learning.vertical.scoring import WrongScoreCount
from tombolo.fl_tasks.protocols.transfer.encrypted import BITS, Floats, Masked, sane, serve
from tombolo.fl_tasks.protocols.transfer.messages import PUBLIC_KEY
from tombolo.fl_tasks.protocols.transfer.part import TransferPart
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import blame
from tombolo.storage.meters import ROWS
from tombolo.storage.roles import GUEST, HOST
from tombolo.storage.schema import Message, MessageSet, PaddedModN, Paillier

_ONE_FUNCTIONAL = "one number per row; if a row has k numbers, the scores of k rows give Phi"
MESSAGES = MessageSet(
    "transfer-scoring",
    PUBLIC_KEY,
    Message(
        "row_numbers",
        HOST,
        GUEST,
        {"c": Paillier(HOST)},
        learns="how many rows are scored; nothing else: ciphertexts under the host's key",
        step="score",
        rows=None,
    ),
    Message(
        "row_scores",
        GUEST,
        HOST,
        {"c": Paillier(HOST, ROWS)},
        learns="the scores Phi . u_B of the host's own rows",
        step="score",
        limit=f"only if the agreement lets the host receive scores; {_ONE_FUNCTIONAL}, an aggregate over the guest's rows",
        rows=None,
    ),
    Message(
        "padded_scores",
        GUEST,
        HOST,
        {"c": Paillier(HOST)},
        learns="uniformly random values: each score is under a one-time pad modulo n",
        step="score",
        limit="pads are never used twice",
        rows=None,
    ),
    Message(
        "padded_scores_back",
        HOST,
        GUEST,
        {"residue": PaddedModN(HOST, ROWS)},
        learns="scores Phi . u_B of held-out common rows",
        step="score",
        limit="one number per held-out row and run; it does not give u_B",
        rows=None,
    ),
)


def exchange_scores(session: Session, part: TransferPart, x: Floats | None, recipients: Iterable[str]) -> Floats | None:
    """Scores of the rows of the target, shape (rows,), at a recipient; None at other parties.

    At the target, ``x`` holds its own encoded rows. At the source, ``x`` only says how many rows there must be; it is None if only
    the target knows. Raises WrongScoreCount, WrongLength, WildGradient, and the errors of ciphertexts.
    """
    wanted = list(recipients)
    if session.role == HOST:
        assert x is not None
        return _target(session, part, x, wanted)
    return _source(session, part, None if x is None else len(x), wanted)


def _target(session: Session, part: TransferPart, x: Floats, wanted: list[str]) -> Floats | None:
    guest, key = session.guest, own_key(session)
    session.send("public_key", key=key.public.to_bytes())
    numbers = encode(part.features(x).ravel(), BITS)
    session.send("row_numbers", c=encrypt(key.public, numbers, session.pool).to_arrow())
    if guest in wanted:
        serve(session, key, "padded_scores", guest, len(x))
    if session.me not in wanted:
        return None
    scores = vector(session, "row_scores", "c", key.public, len(x), guest)
    return sane(decrypt(key, scores), 2 * BITS, guest)


def _source(session: Session, part: TransferPart, rows: int | None, wanted: list[str]) -> Floats | None:
    (host,), phi = session.hosts, part.phi
    assert phi is not None
    key = peer_key(session, host)
    table = session.receive("row_numbers", host, (MOST_ROWS if rows is None else rows) * len(phi))
    with blame(host):
        numbers = CipherVector.from_arrow(key, session.values(table, "c"))
    count, over = divmod(len(numbers), len(phi))
    if over or (rows is not None and count != rows):
        raise WrongScoreCount(f"{len(numbers)} numbers came; each row has {len(phi)}.", party=host)
    check_headroom(key, scale_bits=2 * BITS, bound=2.0**10, terms=len(phi))
    weighted = numbers.times(encode(phi, BITS).tolist() * count, session.pool)
    scores = weighted[0 :: len(phi)]
    for unit in range(1, len(phi)):
        scores = scores + weighted[unit :: len(phi)]
    readable = None
    if session.me in wanted:
        masked = Masked(session, key, host, "padded_scores")
        masked.send(scores)
        readable = sane(masked.receive(), 2 * BITS, host)
    if host in wanted:
        session.send("row_scores", c=scores.rerandomise_full(pool=session.pool).to_arrow())
    return readable
