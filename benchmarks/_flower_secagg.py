"""Times one client of Flower's SecAgg+ for :mod:`benchmarks.secagg`. Runs in a Python interpreter with ``flwr``.

``PYTHON _flower_secagg.py COUNT`` calls ``secaggplus_mod`` for its four stages as Flower's server does, for one client that has
all others as neighbours. The stages are: keys, shares, the masked vector of COUNT floats, unmasking. Each input line is a number of
clients; the answer is a line of JSON. The messages of the other clients are made before with the same code and are not counted.
Transport, the server and training are not counted either.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client.mod.secure_aggregation.secaggplus_mod import secaggplus_mod
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.compat.common import recorddict_compat
from flwr.supercore.task_identity import TaskIdentity


class Client:
    """A client's context, and the seconds and CPU seconds that its stages took."""

    def __init__(self, node: int, train: Callable[[Message, Context], Message]) -> None:
        self.node, self.train, self.seconds, self.cpu, self.sent = node, train, 0.0, 0.0, 0
        self.context = Context(run_id=1, node_id=node, node_config={}, state=RecordDict(), run_config={})

    def answer(self, stage: str, configs: dict[str, Any]) -> dict[str, Any]:
        """Run one stage, add its cost, and return what the client sends."""
        content = RecordDict({RECORD_KEY_CONFIGS: ConfigRecord({Key.STAGE: stage, **configs})})
        message = Message(content, dst_node_id=self.node, message_type="train")
        began, cpu = time.perf_counter(), time.process_time()
        answer = secaggplus_mod(message, self.context, self.train)
        self.seconds += time.perf_counter() - began
        self.cpu += time.process_time() - cpu
        record = answer.content.config_records[RECORD_KEY_CONFIGS]
        self.sent += sum(
            len(part)
            for value in record.values()
            for part in (value if isinstance(value, list) else [value])
            if isinstance(part, bytes)
        )
        return dict(record)


def turn(clients: int, values: np.ndarray) -> dict[str, Any]:
    """Run one round for ``clients`` clients. Returns the cost of the first client."""
    result = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([values]), 1, {})

    def train(message: Message, context: Context) -> Message:
        return Message(recorddict_compat.fitres_to_recorddict(result, keep_input=False), reply_to=message)

    everybody = [Client(node, train) for node in range(1, clients + 1)]
    first, threshold = everybody[0], 2 * clients // 3 + 1
    setup = {
        Key.SAMPLE_NUMBER: clients,
        Key.SHARE_NUMBER: clients,
        Key.THRESHOLD: threshold,
        Key.CLIPPING_RANGE: 8.0,
        Key.TARGET_RANGE: 1 << 22,
        Key.MOD_RANGE: 1 << 32,
        Key.MAX_WEIGHT: 1000.0,
    }
    keys = {}
    for client in everybody:
        answer = client.answer(Stage.SETUP, setup)
        keys[str(client.node)] = [answer[Key.PUBLIC_KEY_1], answer[Key.PUBLIC_KEY_2]]
    boxes = []
    for client in everybody:
        answer = client.answer(Stage.SHARE_KEYS, keys)
        sealed = dict(zip(answer[Key.DESTINATION_LIST], answer[Key.CIPHERTEXT_LIST], strict=True))
        if client is not first:
            boxes.append(sealed[first.node])
    nodes = [client.node for client in everybody]
    first.answer(Stage.COLLECT_MASKED_VECTORS, {Key.CIPHERTEXT_LIST: boxes, Key.SOURCE_LIST: nodes[1:]})
    first.answer(Stage.UNMASK, {Key.ACTIVE_NODE_ID_LIST: nodes, Key.DEAD_NODE_ID_LIST: []})
    return {"seconds": first.seconds, "cpu": first.cpu, "sent": first.sent}


def main() -> None:
    """Answer the numbers of clients on standard input."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1  # the ids of the server, which sends these messages
    values = np.random.default_rng(7).normal(size=int(sys.argv[1])).astype(np.float32)
    for line in sys.stdin:
        print(json.dumps(turn(int(line), values)), flush=True)


if __name__ == "__main__":
    main()
