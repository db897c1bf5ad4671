"""A round of linear regression on dealt shares, compared with the same round on Paillier ciphertexts and on unprotected floats.

``python -m benchmarks.dealer [--quick] [OUTPUT.json]``: 100,000 rows of 50 columns, half at a guest and half at a host. The time is
the sum over all parties, each measured alone on one core, without files or sealing. With shares, it includes drawing all masks.
Paillier (2048 bits) is measured on a part of the rows and columns and scaled up. This makes it a little too slow, because bucket
sums get cheaper with more rows. A whole training run of the same size is measured too, with a process per party: its seconds and
bytes include exchange and storage.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each side uses one core

import numpy as np
from rich.console import Console
from rich.table import Table

from tombolo.fl_tasks.crypto.fixedpoint import FEATURE_BITS, encode_features
from tombolo.fl_tasks.shares.dealt import Masks, Matrix, dealer_addend, peer_addend
from tombolo.fl_tasks.shares.ring import Scale

ROWS, COLUMNS, ROUNDS = 100_000, {"guest": 25, "host": 25}, 6
RESIDUAL_BITS = 32
GOAL_PAILLIER, GOAL_PLAINTEXT = 500.0, 5.0
_OUT = Path(".tombolo/bench/dealer")


def best(repeat: int, *functions: Callable[[], Any]) -> list[float]:
    """CPU seconds of this process for each function: the best of ``repeat`` runs. The functions run in turn."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeat):
        for function, taken in zip(functions, times, strict=True):
            start = time.process_time()
            function()
            taken.append(time.process_time() - start)
    return [min(taken) for taken in times]


class Round:
    """One round's data: every party's columns and weights, and the guest's target."""

    def __init__(self, rows: int) -> None:
        rng = np.random.default_rng(3)
        self.rows, self.names = rows, list(COLUMNS)
        self.fixed = {party: encode_features(rng.normal(size=(rows, width)), FEATURE_BITS) for party, width in COLUMNS.items()}
        self.x = {party: np.asfortranarray(fixed) / 2.0**FEATURE_BITS for party, fixed in self.fixed.items()}
        self.w = {party: rng.normal(size=width) / 10 for party, width in COLUMNS.items()}
        self.y = rng.normal(size=rows)
        self.pooled = np.ascontiguousarray(np.hstack(list(self.x.values())))  # the usual memory order of a table in NumPy
        self.weights = np.concatenate(list(self.w.values()))
        self.masks = {party: Masks(rng.bytes(32)) for party in COLUMNS}
        self.matrices = {
            party: Matrix.of(fixed, rng.integers(0, 2**64, fixed.shape[1], np.uint64)) for party, fixed in self.fixed.items()
        }
        self.at_dealer = {party: self.masks[party].matrix(*matrix.x.shape) for party, matrix in self.matrices.items()}
        self.at_peer = {party: matrix.x - self.at_dealer[party] for party, matrix in self.matrices.items()}
        self.scale = Scale.of(rows, len(COLUMNS) * 2.0**5)

    def plaintext(self) -> np.ndarray:
        """The pooled gradient in floats."""
        return (self.pooled @ self.weights - self.y) @ self.pooled

    def part(self, party: str) -> np.ndarray:
        """A party's part of the residual, in floats."""
        part: np.ndarray = self.x[party] @ self.w[party]
        return part - self.y if party == "guest" else part

    def masked(self, party: str) -> tuple[np.ndarray, np.ndarray]:
        """A party's mask and its masked part of the residual."""
        mask = self.masks[party].residual(1, self.rows)
        return mask, self.scale.encode(self.part(party)) - mask

    def at_party(self, party: str, other: str, received: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Everything that a data party computes: its own addend, and the addend for the other data party."""
        mask, own = self.masked(party)
        width = self.matrices[other].x.shape[1]
        peer = peer_addend(self.at_peer[other], mask, self.masks[party].pad(1, other, width))
        return self.matrices[party].own_addend(own + received, mask), peer

    def at_arbiter(self) -> dict[str, np.ndarray]:
        """Everything that the dealer computes: an addend for each data party."""
        masks = {party: self.masks[party].residual(1, self.rows) for party in self.names}
        addends = {}
        for party, other in zip(self.names, reversed(self.names), strict=True):
            matrix = self.at_dealer[party]
            addends[party] = dealer_addend(matrix, masks[other], [self.masks[other].pad(1, party, matrix.shape[1])])
        return addends

    def opened(self, party: str, addends: list[np.ndarray]) -> np.ndarray:
        """A party's gradient from all addends."""
        return self.scale.decode(self.matrices[party].checked(np.sum(addends, axis=0, dtype=np.uint64)))

    def dealt(self) -> tuple[np.ndarray, list[Callable[[], Any]]]:
        """The gradient from shares, and a function per party with everything that this party computes."""
        guest, host = self.names
        parts = {party: self.masked(party)[1] for party in self.names}
        own, peer = {}, {}
        own[guest], peer[host] = self.at_party(guest, host, parts[host])
        own[host], peer[guest] = self.at_party(host, guest, parts[guest])
        dealer = self.at_arbiter()
        addends = {party: [own[party], peer[party], dealer[party]] for party in self.names}
        works: list[Callable[[], Any]] = [
            lambda: (self.at_party(guest, host, parts[host]), self.opened(guest, addends[guest])),
            lambda: (self.at_party(host, guest, parts[guest]), self.opened(host, addends[host])),
            self.at_arbiter,
        ]
        return np.concatenate([self.opened(party, addends[party]) for party in self.names]), works


def paillier_seconds(rows: int, columns: int, repeat: int) -> float:
    """Seconds of a round's kernels at both data parties and the key holder, measured on ``rows`` x ``columns`` and scaled up."""
    from tombolo.fl_tasks.crypto.fixedpoint import encode
    from tombolo.fl_tasks.crypto.masks import mask_residues
    from tombolo.fl_tasks.crypto.matvec import transposed_product
    from tombolo.fl_tasks.crypto.paillier import generate
    from tombolo.fl_tasks.crypto.prf import Prf
    from tombolo.fl_tasks.crypto.vector import decrypt_residues, encrypt

    key, data = generate(2048), Round(rows)
    public = key.public
    host, guest = (encode(data.part(party), RESIDUAL_BITS) for party in ("host", "guest"))
    encrypt(public, host[:10])  # makes the tables of powers, which is done once per run
    residual = encrypt(public, host)

    def chain() -> None:
        """Steps 1 to 3: both parties' parts, the cross term of the squares, and fresh randomness."""
        first = encrypt(public, host)
        transposed_product(2 * guest[:, None], first)
        (first + encrypt(public, guest)).rerandomise()

    def products() -> None:
        transposed_product(data.fixed["guest"][:, :columns], residual)

    sums = transposed_product(data.fixed["guest"][:10, :columns], residual[:10])

    def masked() -> None:
        """Steps 4 and 5, after the sums."""
        masks = mask_residues(public, columns, Prf(bytes(32)).stream("bench"))
        decrypt_residues(key, sums.add_plain(masks).rerandomise_full())

    whole, wide = ROWS / rows, sum(COLUMNS.values()) / columns
    seconds = best(repeat, chain, products, masked)
    return seconds[0] * whole + seconds[1] * whole * wide + seconds[2] * wide


def arithmetic(quick: bool) -> dict[str, Any]:
    """Seconds of a round of 100,000 x 50 in all three ways, and their ratios."""
    data = Round(ROWS)
    gradient, works = data.dealt()
    if not np.allclose(gradient, data.plaintext(), rtol=0, atol=1e-6 * ROWS):
        raise SystemExit("the gradient on shares is wrong")
    plaintext, *parties = best(80, data.plaintext, *works)
    dealt = sum(parties)
    rows, columns = (5_000, 1) if quick else (50_000, 2)
    paillier = paillier_seconds(rows, columns, 1 if quick else 2)
    return {
        "seconds": {"plaintext": plaintext, "dealer": dealt, "paillier": paillier},
        "paillier_measured_on": {"rows": rows, "columns": columns},
        "ratios": {
            "dealer_round_vs_paillier_round": paillier / dealt,
            "dealer_round_vs_plaintext": plaintext / dealt,
        },
    }


def write_tables(folder: Path, rows: int) -> dict[str, Path]:
    """Write generated tables, the same in every run. They have a few more rows than ``rows``, which are held out."""
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    rng, total = np.random.default_rng(7), rows + 200
    x = rng.normal(size=(total, sum(COLUMNS.values())))
    ids, files, start = [f"P{index:06d}" for index in range(total)], {}, 0
    for party, width in COLUMNS.items():
        frame = pd.DataFrame(x[:, start : start + width], columns=[f"{party}_{index}" for index in range(width)])
        frame.insert(0, "id", ids)
        if party == "guest":
            frame["y"] = x.sum(axis=1) + rng.normal(size=total)
        files[party] = folder / f"{party}.parquet"
        frame.to_parquet(files[party], index=False)
        start += width
    split = folder / "split.csv"
    pd.DataFrame({"id": ids, "set": ["train"] * rows + ["test"] * 200}).to_csv(split, index=False)
    return {**files, "split": split}


def agreement(folder: Path) -> Path:
    """Write the terms of the run. The tolerance is 0, so that training runs all rounds."""
    import yaml

    roles = {"guest": "guest", "host": "host", "notary": "arbiter"}
    terms = {
        "schema": "tombolo.terms/1",
        "name": "shares",
        "parties": {party: {"role": role} for party, role in roles.items()},
        "task": {
            "protocol": "linear",
            "engine": "dealer",
            "waivers": ["expose-features-to-colluding-arbiter"],
            "label": {"column": "y"},
            "parameters": {"rounds": ROUNDS, "tolerance": 0},
        },
        "alignment": {"id": [{"column": "id"}]},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agreement.yaml").write_text(yaml.safe_dump(terms, sort_keys=False), encoding="utf-8")
    return folder


def work(settings: Path, run: str) -> dict[str, Any]:
    """Run one party, in its own process. Returns seconds and bytes sent: once before the first round, and per round."""
    import math

    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.runtime.waiting import Wait
    from tombolo.fl_tasks.workflow.align import align
    from tombolo.fl_tasks.workflow.join import join
    from tombolo.fl_tasks.workflow.train import train
    from tombolo.fl_tasks.workflow.validate import validate

    context, wait, ends = PartyContext.open("shares", settings), Wait(math.inf), []
    for stage in (join, validate, align):
        stage(context, run, wait, progress=lambda _: None)
    began = time.monotonic()
    train(context, run, wait, progress=lambda facts: ends.append(time.monotonic()) if "round" in facts else None)
    sent = [entry for entry in context.books(run).entries("sent") if "/train." in entry.address]
    first = sum(entry.size for entry in sent if "/000000/" in entry.address)
    return {
        "once_seconds": ends[0] - began,
        "round_seconds": (ends[-1] - ends[0]) / (len(ends) - 1),
        "once_bytes": first,
        "round_bytes": (sum(entry.size for entry in sent) - first) / len(ends),
    }


def exchange(rows: int) -> dict[str, Any]:
    """Run a whole training, with exchange and storage. Returns the figures by party."""
    from tombolo.cli.simulation.layout import lay_out
    from tombolo.fl_tasks.runtime.context import PartyContext
    from tombolo.fl_tasks.workflow.join import invite

    tables = write_tables(_OUT / "tables", rows)
    laid = lay_out(agreement(_OUT / "agreement"), {party: tables[party] for party in COLUMNS}, tables["split"], _OUT / "run")
    invite(PartyContext.open("shares", laid.settings["guest"]), "bench", "train", {})
    with ProcessPoolExecutor(len(laid.settings), mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {party: pool.submit(work, file, "bench") for party, file in laid.settings.items()}
        return {party: future.result() for party, future in futures.items()}


def measure(quick: bool) -> dict[str, Any]:
    """All figures of one run."""
    rows = ROWS // 10 if quick else ROWS
    setting = {"rows": ROWS, "columns": COLUMNS, "key_bits": 2048, "quick": quick, "processors": os.cpu_count()}
    return {"setting": setting, **arithmetic(quick), "run": {"rows": rows, "parties": exchange(rows)}}


def show(found: dict[str, Any], console: Console) -> None:
    """Print the figures and their targets."""
    setting, seconds, part, reached = found["setting"], found["seconds"], found["paillier_measured_on"], found["ratios"]
    columns = sum(setting["columns"].values())
    table = Table(title=f"A round of linear regression: {setting['rows']:,} x {columns}, two data parties", title_justify="left")
    table.add_column("")
    for name in ("measured", "target"):
        table.add_column(name, justify="right")
    table.add_row("CPU ms, unprotected floats, pooled", f"{seconds['plaintext'] * 1e3:.1f}", "")
    table.add_row("CPU ms, dealt shares, all parties", f"{seconds['dealer'] * 1e3:.1f}", "")
    scaled = f"(scaled from {part['rows']:,} x {part['columns']})"
    table.add_row(f"CPU ms, Paillier, all parties {scaled}", f"{seconds['paillier'] * 1e3:,.0f}", "")
    table.add_row("times Paillier's speed", f"{reached['dealer_round_vs_paillier_round']:,.0f}", f">= {GOAL_PAILLIER:.0f}")
    table.add_row("times as long as unprotected", f"{1 / reached['dealer_round_vs_plaintext']:.1f}", f"<= {GOAL_PLAINTEXT:.0f}")
    run = found["run"]
    for party, costs in run["parties"].items():
        label = f"with exchange and storage, {run['rows']:,} rows, {party}"
        table.add_row(f"{label}: seconds per round", f"{costs['round_seconds']:.2f}", "")
        table.add_row(f"{label}: MB sent per round", f"{costs['round_bytes'] / 1e6:.2f}", "")
        table.add_row(f"{label}: MB sent once", f"{costs['once_bytes'] / 1e6:.2f}", "")
    console.print(table)


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("output", nargs="?", type=Path, default=Path(".tombolo/bench/dealer.json"))
    parser.add_argument("--quick", action="store_true", help="fewer rows for Paillier, and a tenth of the rows in the training run")
    options = parser.parse_args()
    figures = measure(options.quick)
    show(figures, Console(width=120))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
