"""Vertical mean difference: a row's score is the sum over all columns of (mean of class 1 - mean of class 0) x value.

With y the labels, p the share of class 1 and c = (y - p) / (p (1 - p)), a column's difference is the mean of c x over the n rows.
The guest encrypts c; hosts compute with it (steps 1 to 5, tombolo.fl_tasks.learning.vertical.key_holder).
"""

from __future__ import annotations

import numpy as np

from tombolo.fl_tasks.crypto.fixedpoint import encode
from tombolo.fl_tasks.crypto.masks import residues_to_arrow
from tombolo.fl_tasks.crypto.vector import CipherVector, decrypt_residues, encrypt
from tombolo.fl_tasks.learning.vertical.rows import VerticalRows, guard_batch, guard_label
from tombolo.fl_tasks.learning.vertical.key_holder import (
    RESIDUAL_BITS,
    MaskedGradient,
    gradient_messages,
    own_key,
    peer_key,
    public_key_message,
    vector,
)
from tombolo.fl_tasks.runtime.checkpoints import State
from tombolo.fl_tasks.runtime.programs import Programs
from tombolo.fl_tasks.runtime.session import Session
from tombolo.storage.errors import CodedError
from tombolo.storage.roles import GUEST, HOST
from tombolo.storage.schema import Message, MessageSet, Paillier

from tombolo_mean_difference.protocol import MeanDifferenceParameters
from tombolo_mean_difference.reference import shrunk

MESSAGES = MessageSet(
    "mean-difference",
    public_key_message(GUEST, (HOST,)),
    Message(
        "contrasts",
        GUEST,
        HOST,
        {"c": Paillier(GUEST)},
        learns="nothing: ciphertexts under the guest's key",
        step="1",
        rows=None,
    ),
    *gradient_messages(GUEST, (HOST,)),
)


class TooFewRows(CodedError):
    code = "MEANDIFF-TRAIN-001"
    cause = "There are too few training rows for what would be learnt of them."
    remedy = "Use more rows of each class (limits.minimum_bin_rows), or fewer columns: ten rows for each at least."


def guest(session: Session, data: VerticalRows) -> State:
    """The label holder's side; returns the last state with ``w`` (intercept first)."""
    label = guard_label(session, data, binary=True)
    guard_batch(session, data, data.rows)
    fewest, least = int(min(label.sum(), (1 - label).sum())), session.terms.limits.minimum_bin_rows
    if fewest < least:
        raise TooFewRows(f"The smaller class has {fewest}; at least {least} are agreed.", party=session.me)
    share = float(label.mean())
    contrasts = (label - share) / (share * (1 - share))
    key = own_key(session)
    session.send("public_key", key=key.public.to_bytes())
    state = session.latest or {}
    for _ in session.rounds():
        session.send("contrasts", c=encrypt(key.public, encode(contrasts, RESIDUAL_BITS), session.pool).to_arrow())
        for party, table in session.receive_each("masked_gradient", rows=data.rows // 10):
            masked = CipherVector.from_arrow(key.public, session.values(table, "gradient"))
            session.send("unmasked_gradient", party, gradient=residues_to_arrow(key.public, decrypt_residues(key, masked)))
        weights = shrunk(data.rounded.T @ contrasts / data.rows, session.parameters(MeanDifferenceParameters).shrink)
        state = session.checkpoint({"w": np.array([np.log(share / (1 - share)), *weights]), "stopped": True})
    return state


def host(session: Session, data: VerticalRows) -> State:
    """A host's side; returns the last state with ``w``."""
    guard_batch(session, data, data.rows)
    key, state = peer_key(session, session.guest), session.latest or {}
    for _ in session.rounds():
        sums = MaskedGradient(session, key, session.guest, data.x.shape[1])
        sums.send(data, vector(session, "contrasts", "c", key, data.rows, session.guest))
        weights = shrunk(sums.receive() / data.rows, session.parameters(MeanDifferenceParameters).shrink)
        state = session.checkpoint({"w": weights, "stopped": True})
    return state


PROGRAMS = Programs(MESSAGES, {GUEST: guest, HOST: host})
