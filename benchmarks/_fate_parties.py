"""Starts one process per party of a FATE benchmark. Runs in the interpreter of another environment, which has ``pyfate``."""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing import connection
from pathlib import Path
from typing import Any

Party = Callable[[Path, dict[str, Any], str, Any], None]


def run(party: Party) -> Any:
    """Run all parties. Returns what one of them put into ``results``. The command's arguments are FOLDER and SETTING.

    ``party(folder, setting, name, results)`` runs one party. If a party fails, the program exits.
    """
    folder, setting = Path(sys.argv[1]), json.loads(sys.argv[2])
    methods = multiprocessing.get_context("spawn")
    results = methods.Queue()
    parties = [methods.Process(target=party, args=(folder, setting, name, results)) for name in setting["parties"]]
    for process in parties:
        process.start()
    running = {process.sentinel: process for process in parties}
    while running:
        for sentinel in connection.wait(list(running)):
            ended = running.pop(sentinel)
            ended.join()
            if ended.exitcode != 0:  # without this, the others would wait for ever
                for other in parties:
                    other.kill()
                raise SystemExit("a party failed")
    return results.get()
