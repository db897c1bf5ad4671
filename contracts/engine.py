"""What vertical protocols compute on: Paillier ciphertexts, or shares that the arbiter deals (docs/protocols/dealer.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from contracts.parameters import DEALT, HORIZONTAL, QUERIES

Engine = Literal["paillier", "dealer"]
DEALER_WAIVER = "expose-features-to-colluding-arbiter"


def training(protocol: str, engine: str | None) -> str:
    """A protocol with its engine: what its messages, role programs and parameters are called by."""
    return f"{protocol}-dealer" if engine == "dealer" else protocol


def require(protocol: str, engine: str | None, waivers: Sequence[str]) -> None:
    """Raise ValueError unless the protocol runs on the engine, and what it takes has been signed."""
    if (protocol in (*HORIZONTAL, *QUERIES)) != (engine is None):
        raise ValueError(f"engine: {', '.join((*HORIZONTAL, *QUERIES))} have none")
    if engine != "dealer":
        return
    if training(protocol, engine) not in DEALT:
        able = ", ".join(name.removesuffix("-dealer") for name in DEALT)
        raise ValueError(f"engine: dealer is for {able}; {protocol} needs paillier")
    if DEALER_WAIVER not in waivers:
        raise ValueError(
            "engine: with dealer, the arbiter and any one data party together could read another's columns; "
            f"use paillier, or sign the waiver {DEALER_WAIVER}"
        )
