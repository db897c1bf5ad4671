"""A federation of binned columns for SecureBoost's tests, and the pooled model of the same bins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from tests.federation import FOREVER, TEST_BITS, Federation, federation, quiet
from tombolo.fl_tasks.learning.trees.boosting import Pooled, plan_of, train_pooled
from tombolo.fl_tasks.learning.trees.records import kept
from tombolo.fl_tasks.learning.trees.state import RECORDS, TREES
from tombolo.fl_tasks.protocols.secureboost import programs as secureboost
from tombolo.fl_tasks.protocols.secureboost.messages import BinnedRows

STUB = pa.table({"id": ["a"]})
NAMES = ("clinic", "lab", "bank")


def sample(
    rows: int = 160, columns: int = 6, missing: float = 0.0, outputs: int = 2, seed: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """Codes of shape (rows, columns) with up to seven bins and class labels that follow them."""
    random = np.random.default_rng(seed)
    codes = random.integers(1, 8, (rows, columns)).astype(np.uint8)
    signal = codes @ random.normal(size=columns)
    y = np.searchsorted(np.quantile(signal, np.arange(1, outputs) / outputs), signal + random.normal(size=rows))
    codes[random.random(codes.shape) < missing] = 0
    return codes, y.astype(float)


def layout(tmp_path, hosts: int = 2, boosting: dict[str, Any] | None = None, leaf_rows: int = 4, **parameters: Any) -> Federation:
    parties = NAMES[: hosts + 1]
    task = {"protocol": "secureboost", "label": {"column": "label"}, "boosting": boosting or {}}
    task["parameters"] = {"key_bits": TEST_BITS, "rounds": {"default": 3, "min": 1, "max": 50}, "depth": 3, **parameters}
    roles = {party: "guest" if party == "clinic" else "host" for party in parties}
    limits = {"minimum_leaf_rows": leaf_rows, "minimum_bin_rows": 1}
    return federation(tmp_path, dict.fromkeys(parties, STUB), roles, task=task, limits=limits)


def blocks(fed: Federation, codes: np.ndarray, y: np.ndarray, w: np.ndarray | None = None) -> dict[str, BinnedRows]:
    """The columns dealt to the parties; the guest's labels and weights."""
    dealt = {}
    for party, columns in zip(fed.parties, np.array_split(np.arange(codes.shape[1]), len(fed.parties)), strict=True):
        own = codes[:, columns]
        given = (y, np.ones(len(y)) if w is None else w) if party == fed.guest else (None, None)
        sizes = np.maximum(own.max(axis=0).astype(np.int64), 1)
        dealt[party] = BinnedRows(own, sizes, (own == 0).any(axis=0), tuple(f"c{column}" for column in columns), *given)
    return dealt


def train(fed: Federation, dealt: dict[str, BinnedRows], run: str = "run-1", **options: Any) -> dict[str, Any]:
    programs = {
        "guest": lambda session: secureboost.PROGRAMS.data["guest"](session, dealt[session.me]),
        "host": lambda session: secureboost.PROGRAMS.data["host"](session, dealt[session.me]),
        "arbiter": lambda session: secureboost.PROGRAMS.help(session),
    }
    return fed.roles(run, secureboost.MESSAGES, "train", programs, **options)


def grown(fed: Federation, rounds: int, run: str = "run-1") -> tuple[list[Any], dict[str, list[Any]]]:
    """The trees at the guest and every party's records, as documents."""
    found: dict[str, list[Any]] = {}
    trees: list[Any] = []
    for party in fed.parties:
        with fed.context(party).session(run, secureboost.MESSAGES, "train", FOREVER, quiet) as session:
            found[party] = kept(session, RECORDS, rounds)
            trees += kept(session, TREES, rounds)
    return trees, found


def pooled(fed: Federation, dealt: dict[str, BinnedRows], rounds: int, run: str = "run-1") -> Pooled:
    """The model of all columns in one place."""
    own = dealt[fed.guest]
    with fed.context(fed.guest).session(run, secureboost.MESSAGES, "train", FOREVER, quiet) as session:
        plan = plan_of(session)
    assert own.y is not None
    return train_pooled(plan, rounds, [data.codes for data in dealt.values()], own.y, own.w)
