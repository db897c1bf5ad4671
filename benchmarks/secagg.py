"""A secure sum of a million numbers: seconds and bytes of a client and of the aggregator, compared with AES, Paillier and Flower.

``python -m benchmarks.secagg [--quick] [--flower PYTHON] [OUTPUT.json]``. All clients and the aggregator run completely. They are
threads of one process with directory stores, and only one works at a time, so that a party's seconds are its own work without
waiting. A client's work is everything that it does in one sum: keys, shares, masks, sealing, signing, writing, reading, verifying.
CPU seconds do not include the flushes of the disk, seconds do. In one sum no client vanishes. In the next one, a client vanishes
after it has shared its secrets.

The AES limit is the time to expand as many whole AES-256-CTR streams as the client has masks, and to add them to its vector. The
protocol itself does this in blocks. ``--flower`` names the Python interpreter of another environment, which has ``flwr``. The
client of Flower's SecAgg+ is then measured in turn: only its own module, without transport. Packed Paillier is measured on a part
and scaled up.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from rich.console import Console
from rich.table import Table

from benchmarks._secagg_parties import CENTRE, Cost, Federation
from tombolo.fl_tasks.crypto.packing import check_slots, pack, slots_per_ciphertext
from tombolo.fl_tasks.crypto.paillier import generate
from tombolo.fl_tasks.crypto.vector import decrypt, encrypt
from tombolo.fl_tasks.learning.horizontal.secagg.graph import Graph
from tombolo.fl_tasks.learning.horizontal.secagg.masking import Words, add_mask

_OUT = Path(".tombolo/bench/secagg")
COUNT, PLAIN_BYTES = 1_000_000, 8
TURNS = {3: 7, 10: 7, 50: 2, 200: 1}
FLOWERS = (3, 10, 50)
SLOT_BITS, PAILLIER_PART = 72, 50


def masks_of(clients: int) -> int:
    """The number of streams that a client expands: its own one, and one per neighbour."""
    return len(Graph.draw(bytes(32), clients, clients, 2 * clients // 3 + 1).holders(1))


def aes(words: Words, streams: int) -> float:
    """CPU seconds to expand ``streams`` streams, each as a whole into one buffer, and to add them to a vector in place."""
    zeros, buffer, total = bytes(8 * len(words)), np.ones(8 * len(words) + 15, dtype=np.uint8), words.copy()
    began = time.thread_time()
    for stream in range(streams):
        Cipher(algorithms.AES256(stream.to_bytes(32, "big")), modes.CTR(bytes(16))).encryptor().update_into(zeros, buffer)
        total += buffer[: 8 * len(words)].view(np.uint64)
    return time.thread_time() - began


def blocks(words: Words, streams: int) -> float:
    """The same as :func:`aes`, but in blocks that stay in the processor's cache, as in the protocol."""
    total = words.copy()
    began = time.thread_time()
    for stream in range(streams):
        add_mask(total, stream.to_bytes(32, "big"))
    return time.thread_time() - began


class Flower:
    """A process of the other interpreter. For each question, it runs one client of Flower."""

    def __init__(self, python: Path, count: int) -> None:
        command = [str(python), "-W", "ignore", str(Path(__file__).with_name("_flower_secagg.py")), str(count)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def client(self, clients: int) -> dict[str, float]:
        """The cost of one client among ``clients``."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{clients}\n")
        self._process.stdin.flush()
        figures: dict[str, float] = json.loads(self._process.stdout.readline())
        return figures

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def typical(costs: list[Cost]) -> dict[str, float]:
    """The median of each figure, in seconds and bytes."""
    return {name: statistics.median(asdict(cost)[name] for cost in costs) for name in asdict(costs[0])}


def sums(clients: int, words: Words, turns: int, flower: Flower | None) -> dict[str, Any]:
    """Measure sums over ``clients`` clients. The AES limit, our sum and Flower run in turn."""
    shutil.rmtree(_OUT, ignore_errors=True)
    federation, streams = Federation.new(_OUT, clients), masks_of(clients)
    drops = {"no drop": 0, "one drop": 1}
    client: dict[str, list[Cost]] = {name: [] for name in drops}
    centre: dict[str, list[Cost]] = {name: [] for name in drops}
    limit, own, theirs = [], [], []
    drops = drops if clients > 3 else {"no drop": 0}  # with three clients, no client may vanish
    for turn in range(turns):
        for name, lost in drops.items():
            limit.append(aes(words, streams))
            own.append(blocks(words, streams))
            total, costs = federation.sum(words, f"{name.split()[0]}-{turn}", lost)
            if not np.array_equal(total.words, words * np.uint64(clients - lost)):
                raise SystemExit("the sum is wrong")
            centre[name].append(costs.pop(CENTRE))
            client[name] += costs.values()
        if flower is not None:
            theirs.append(flower.client(clients))
    shutil.rmtree(_OUT, ignore_errors=True)
    plain = len(words) * PLAIN_BYTES
    whole = typical(client["no drop"])
    return {
        "streams": streams,
        "turns": turns,
        "client": {name: typical(client[name]) for name in drops},
        "aggregator": {name: typical(centre[name]) for name in drops},
        "aes_limit": statistics.median(limit),
        "aes_by_blocks": statistics.median(own),
        "multiple_of_limit": whole["cpu"] / statistics.median(limit),
        "expansion_sent": whole["sent"] / plain,
        "expansion": (whole["sent"] + whole["received"]) / plain,
        **({"flower": {name: statistics.median(answer[name] for answer in theirs) for name in theirs[0]}} if theirs else {}),
    }


def paillier(words: Words, clients: int) -> dict[str, float]:
    """CPU seconds of a client and the aggregator with packed Paillier (2048 bits), measured on a part and scaled up."""
    part = words[: len(words) // PAILLIER_PART].view(np.int64)
    key = generate(2048)
    check_slots(SLOT_BITS, 2.0**63, clients)
    encrypt(key.public, [1])  # makes the tables of powers, which is done once per key

    def timed(function: Callable[[], Any]) -> tuple[Any, float]:
        began = time.process_time()
        return function(), time.process_time() - began

    cipher, client = timed(lambda: encrypt(key.public, pack(part, SLOT_BITS, key.public)))
    _, addition = timed(lambda: cipher + cipher)
    _, opening = timed(lambda: decrypt(key, cipher))
    scale = len(words) / len(part)
    per = slots_per_ciphertext(key.public, SLOT_BITS)
    return {
        "client": client * scale,
        "aggregator": (addition * (clients - 1) + opening) * scale,
        "sent": -(-len(words) // per) * 2 * key.public.bits / 8,
        "timed_part": 1 / PAILLIER_PART,
    }


def measure(quick: bool, python: Path | None) -> dict[str, Any]:
    """Measure all figures."""
    count = COUNT // 10 if quick else COUNT
    words = np.random.default_rng(7).integers(0, 2**56, count).astype(np.uint64)
    flower = None if python is None else Flower(python, count)
    by_clients = {
        clients: sums(clients, words, turns, flower if clients in FLOWERS else None)
        for clients, turns in TURNS.items()
        if clients <= 50 or not quick
    }
    if flower is not None:
        flower.close()
    return {
        "setting": {
            "values": count,
            "processors": os.cpu_count(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "quick": quick,
        },
        "sums": by_clients,
        "paillier": paillier(words, 10),
        **against_flower(by_clients[10]),
    }


def against_flower(one: dict[str, Any]) -> dict[str, Any]:
    """The ratio of a client's CPU seconds, Flower to ours, or the reason why there is none."""
    name = "secagg_client_vs_flower"
    if "flower" not in one:
        return {"ratios": {}, "skipped": {name: "Flower was not measured; name a Python interpreter with flwr by --flower"}}
    return {"ratios": {name: one["flower"]["cpu"] / one["client"]["no drop"]["cpu"]}, "skipped": {}}


def show(results: dict[str, Any], console: Console) -> None:
    """Print the figures and their targets."""
    by_clients, plain = results["sums"], results["setting"]["values"] * PLAIN_BYTES
    caption = f"plaintext: {plain / 1e6:g} MB, 8 bytes per number; milliseconds: CPU time, in brackets wall-clock time"
    title = f"Secure sum of {results['setting']['values']:,} numbers"
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    table.add_column("clients", no_wrap=True)
    for clients in by_clients:
        table.add_column(str(clients), justify="right")
    table.add_column("target at 10", justify="right")

    def row(name: str, value: Callable[[dict[str, Any]], str], target: str = "") -> None:
        table.add_row(name, *(value(figures) for figures in by_clients.values()), target)

    def milliseconds(party: str, drops: str) -> Callable[[dict[str, Any]], str]:
        def value(figures: dict[str, Any]) -> str:
            cost = figures[party].get(drops)
            return "-" if cost is None else f"{cost['cpu'] * 1e3:,.0f} ({cost['seconds'] * 1e3:,.0f})"

        return value

    row("masks of a client", lambda figures: str(figures["streams"]))
    for party in ("client", "aggregator"):
        for drops in ("no drop", "one drop"):
            row(f"ms, {party}, {drops}", milliseconds(party, drops))
    row("ms, AES limit", lambda figures: f"{figures['aes_limit'] * 1e3:,.0f}")
    row("ms, the same by blocks", lambda figures: f"{figures['aes_by_blocks'] * 1e3:,.0f}")
    row("client, multiple of the limit", lambda figures: f"{figures['multiple_of_limit']:.1f}", "<= 3")
    row("ms, client, Flower SecAgg+", lambda figures: f"{figures['flower']['cpu'] * 1e3:,.0f}" if "flower" in figures else "-")
    row(
        "times Flower's speed",
        lambda figures: f"{figures['flower']['cpu'] / figures['client']['no drop']['cpu']:.2f}" if "flower" in figures else "-",
        "> 1",
    )
    row("MB, client sends", lambda figures: f"{figures['client']['no drop']['sent'] / 1e6:.2f}")
    row("MB, client receives", lambda figures: f"{figures['client']['no drop']['received'] / 1e6:.2f}")
    row("MB, aggregator receives", lambda figures: f"{figures['aggregator']['no drop']['received'] / 1e6:,.1f}")
    row("MB, aggregator sends", lambda figures: f"{figures['aggregator']['no drop']['sent'] / 1e6:,.1f}")
    row("sent, of the plaintext", lambda figures: f"{figures['expansion_sent']:.3f}")
    row("sent and received", lambda figures: f"{figures['expansion']:.3f}", "< 1.1")
    console.print(table)
    p = results["paillier"]
    console.print(
        f"Packed Paillier, 2048 bits, 10 clients (1/{PAILLIER_PART} timed, scaled): client {p['client']:.1f} s, aggregator and "
        f"key holder {p['aggregator']:.1f} s, {p['sent'] / 1e6:.1f} MB per client ({p['sent'] / plain:.2f} of the plaintext)."
    )
    for name, reason in results["skipped"].items():
        console.print(f"{name}: skipped, {reason}")


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("output", nargs="?", type=Path, default=Path(".tombolo/bench/secagg.json"))
    parser.add_argument("--quick", action="store_true", help="a tenth of the numbers, and not with 200 clients")
    parser.add_argument("--flower", type=Path, metavar="PYTHON", help="compare with Flower; name a Python interpreter with flwr")
    options = parser.parse_args()
    results = measure(options.quick, options.flower)
    show(results, Console())
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
