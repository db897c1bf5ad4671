"""Times FATE 2.2's hetero logistic regression. Runs in the Python interpreter of another environment, which has ``pyfate``.

``PYTHON _fate_logistic.py FOLDER SETTING`` reads ``FOLDER/<party>.csv``: the columns ``id``, the party's own encoded columns, and
at the guest ``y``. It trains one epoch in one batch, with one process per party, over FATE's standalone computing and federation.
SETTING is JSON: ``parties`` (roles by name: guest, hosts, arbiter), ``key_bits`` and ``l2``. The last printed line is JSON: the
seconds from the epoch's start to its end at the guest, and the CPU seconds of all processes, with key generation and reading.
"""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path
from typing import Any

from _fate_parties import run


def party(folder: Path, setting: dict[str, Any], name: str, results: Any) -> None:
    """Run one party until training has ended."""
    import pandas as pd
    from fate.arch.computing.backends.standalone import CSession
    from fate.arch.context import Context
    from fate.arch.dataframe import PandasReader
    from fate.arch.federation import FederationBuilder
    from fate.ml.glm.hetero.coordinated_lr import CoordinatedLRModuleArbiter, CoordinatedLRModuleGuest, CoordinatedLRModuleHost
    from fate.ml.utils._optimizer import Optimizer

    moments: list[float] = []

    def begins(self: Any, epoch: int) -> None:
        moments.append(time.monotonic())
        was(self, epoch)

    was, Optimizer.set_iters = Optimizer.set_iters, begins
    members = [(role, member) for member, role in setting["parties"].items()]
    role = setting["parties"][name]
    computing = CSession(session_id=f"logistic_{name}", data_dir=str(folder / "work"))
    federation = FederationBuilder(federation_session_id="logistic", party=(role, name), parties=members).build_standalone(
        computing
    )
    context = Context(computing=computing, federation=federation)
    context.cipher.set_phe(context.device, {"kind": "paillier", "key_length": setting["key_bits"]})
    optimizer = {"method": "sgd", "penalty": "l2", "alpha": setting["l2"], "optimizer_params": {"lr": 0.1}}
    rate = {"method": "constant", "scheduler_params": {"factor": 1.0}}
    training = {"epochs": 1, "batch_size": None, "optimizer_param": optimizer, "learning_rate_param": rate}
    try:
        if role == "arbiter":
            CoordinatedLRModuleArbiter(**training, early_stop="weight_diff", tol=1e-4).fit(context)
        else:
            frame = pd.read_csv(folder / f"{name}.csv", dtype={"id": str})
            frame["match"] = frame["id"]
            label = {"label_name": "y", "label_type": "int32"} if role == "guest" else {}
            rows = PandasReader(sample_id_name="id", match_id_name="match", dtype="float32", **label).to_frame(context, frame)
            start = {"method": "zeros", "fit_intercept": role == "guest"}
            kind = CoordinatedLRModuleGuest if role == "guest" else CoordinatedLRModuleHost
            kind(**training, init_param=start).fit(context, rows)
        if role == "guest":
            results.put(time.monotonic() - moments[0])
    finally:
        context.destroy()


if __name__ == "__main__":
    seconds, used = run(party), resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"seconds": seconds, "cpu": used.ru_utime + used.ru_stime}))
