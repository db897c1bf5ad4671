"""What vertical protocols compute on: Paillier ciphertexts, shares that the arbiter deals (docs/protocols/dealer.md), or, in
networks only and by waiver only, values that the peer reads (docs/protocols/vertical-mlp.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tombolo.agreements.parameters import DEALT, DEALT_NETWORKS, HORIZONTAL, QUERIES, SPLIT

Engine = Literal["paillier", "dealer", "split"]
DEALER_WAIVER = "expose-features-to-colluding-arbiter"
SPLIT_WAIVER = "expose-labels-and-features-by-split"


def training(protocol: str, engine: str | None) -> str:
    """A protocol with its engine: what its messages, role programs and parameters are called by."""
    return f"{protocol}-{engine}" if engine in ("dealer", "split") else protocol


def require(protocol: str, engine: str | None, waivers: Sequence[str]) -> None:
    """Raise ValueError unless the protocol runs on the engine, and what it takes has been signed."""
    if (protocol in (*HORIZONTAL, *QUERIES)) != (engine is None):
        raise ValueError(f"engine: {', '.join((*HORIZONTAL, *QUERIES))} have none")
    if engine == "split":
        _require_split(protocol, waivers)
    if engine != "dealer":
        return
    if training(protocol, engine) not in (*DEALT, *DEALT_NETWORKS):
        able = ", ".join(name.removesuffix("-dealer") for name in (*DEALT, *DEALT_NETWORKS))
        raise ValueError(f"engine: dealer is for {able}; {protocol} needs paillier")
    if DEALER_WAIVER not in waivers:
        raise ValueError(
            "engine: with dealer, the arbiter and one data party together could read another's columns, and a network's labels; "
            f"use paillier, or sign the waiver {DEALER_WAIVER}"
        )


def _require_split(protocol: str, waivers: Sequence[str]) -> None:
    if training(protocol, "split") not in SPLIT:
        able = ", ".join(name.removesuffix("-split") for name in SPLIT)
        raise ValueError(f"engine: split is for {able}; {protocol} needs paillier")
    if SPLIT_WAIVER not in waivers:
        raise ValueError(
            "engine: with split, hosts can read off labels from derivatives by row, and the guest sees hosts' units by row; "
            f"use paillier, or sign the waiver {SPLIT_WAIVER}"
        )
