"""One process per party of a FATE benchmark: run by the interpreter of an environment that has ``pyfate``, not by ours."""

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
    """What one of the parties put into ``results``, when all are through; FOLDER and SETTING are the command's words.

    ``party(folder, setting, name, results)`` is one of them. Exits if one fails.
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
            if ended.exitcode != 0:  # the others would wait for it for ever
                for other in parties:
                    other.kill()
                raise SystemExit("a party failed")
    return results.get()
