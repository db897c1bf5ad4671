"""A federation for the tests of the vertical network, and the same network with all columns and weights in one place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from tests.federation import FOREVER, TEST_BITS, Federation, federation, quiet
from tombolo.fl_tasks.learning.nets.split_network import SplitNetwork
from tombolo.fl_tasks.learning.terms import NetworkTerms
from tombolo.fl_tasks.learning.vertical.roles import DEALER_WAIVER
from tombolo.fl_tasks.learning.vertical.rows import VerticalRows
from tombolo.fl_tasks.protocols.vertical_mlp import encrypted as neural
from tombolo.fl_tasks.protocols.vertical_mlp.grid import WEIGHT_BITS
from tombolo.fl_tasks.protocols.vertical_mlp.programs import batches_of
from tombolo.fl_tasks.protocols.vertical_mlp.protocol import SPLIT_WAIVER
from tombolo.fl_tasks.runtime.arrays import unpack

STUB = pa.table({"id": ["a"]})
NAMES = ("clinic", "lab", "bank")
LIMITS = {"minimum_batch": 20, "minimum_rows_per_weight": 10}


def layout(
    tmp_path, hosts: int = 1, network: dict[str, Any] | None = None, limits=LIMITS, engine: str = "paillier", **parameters: Any
) -> Federation:
    parties = NAMES[: hosts + 1]
    task = {"protocol": "vertical-mlp", "label": {"column": "label"}, "network": {"bottom": 3, "hidden": [2], **(network or {})}}
    waivers = {"split": [SPLIT_WAIVER], "dealer": [DEALER_WAIVER]}
    task |= {"engine": engine, "waivers": waivers.get(engine, [])}
    keys = {"key_bits": TEST_BITS} if engine == "paillier" else {}
    task["parameters"] = {**keys, "rounds": {"default": 2, "min": 1, "max": 200}, "step": 0.5, **parameters}
    roles = {party: "guest" if party == "clinic" else "host" for party in parties}
    roles |= {"notary": "arbiter"} if engine == "dealer" else {}
    return federation(tmp_path, dict.fromkeys(parties, STUB), roles, task=task, limits=limits)


def sample(rows: int = 100, columns: int = 6, outcome: str = "binary", seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Columns, of which every product of two neighbours counts, and labels."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, columns))
    signal = x.sum(axis=1) + 2 * (x[:, 0] * x[:, -1])
    if outcome == "number":
        return x, 40 + 9 * signal
    edges = [0.0] if outcome == "binary" else np.quantile(signal, [1 / 3, 2 / 3])
    return x, np.digitize(signal, edges).astype(float)


def blocks(fed: Federation, x: np.ndarray, y: np.ndarray) -> dict[str, VerticalRows]:
    """The columns dealt to the parties; the guest's labels."""
    parts = zip(fed.data_parties, np.array_split(np.arange(x.shape[1]), len(fed.data_parties)), strict=True)
    return {
        party: VerticalRows(x[:, columns], y if party == fed.guest else None, tuple(f"c{column}" for column in columns))
        for party, columns in parts
    }


def train(
    fed: Federation, dealt: dict[str, VerticalRows], protocol: Any = neural, run: str = "run-1", **options: Any
) -> dict[str, Any]:
    programs = {
        "guest": lambda session: protocol.PROGRAMS.data["guest"](session, dealt[session.me]),
        "host": lambda session: protocol.PROGRAMS.data["host"](session, dealt[session.me]),
        "arbiter": protocol.PROGRAMS.help,
    }
    return fed.roles(run, protocol.PROGRAMS.messages, "train", programs, **options)


def whole(fed: Federation, states: dict[str, Any], dealt: dict[str, VerticalRows]) -> SplitNetwork:
    """The network of all parties' states, in floating point."""
    network, hosts = (
        fed.context(fed.guest).terms.task.section(NetworkTerms),
        [party for party in fed.data_parties if party != fed.guest],
    )
    assert network is not None
    x = {party: data.x for party, data in dealt.items()}
    between = {party: joined(states, fed.guest, party) for party in hosts}
    return SplitNetwork(network, x, fed.guest, states[fed.guest]["w"], {party: states[party]["w"] for party in hosts}, between)


def begun(fed: Federation, run: str = "run-1") -> dict[str, Any]:
    """What every party began with."""
    return {party: unpack(fed.context(party).run_area(run).area("train").get("beginning")) for party in fed.data_parties}


def drawn(fed: Federation, dealt: dict[str, VerticalRows], run: str = "run-1") -> list[np.ndarray]:
    """The batches of every round."""
    with fed.context(fed.guest).session(run, neural.MESSAGES, "train", FOREVER, quiet) as session:
        return batches_of(session, dealt[fed.guest])


def joined(states: dict[str, Any], guest: str, host: str) -> np.ndarray:
    """W between a host and the guest, of both shares, shape (units, sums)."""
    own, others = states[host]["share"][0], states[guest]["shares"][host][0]
    return np.array([[(a + b) / 2.0**WEIGHT_BITS for a, b in zip(*rows, strict=True)] for rows in zip(own, others, strict=True)])
