"""Times FATE 2.2's hetero SecureBoost. Runs in the Python interpreter of another environment, which has ``pyfate``.

``PYTHON _fate_secureboost.py FOLDER SETTING`` reads ``FOLDER/<party>.csv``: the columns ``id``, the party's own columns, and at the
guest ``y``. It trains with one process per party, over FATE's standalone computing and federation. SETTING is JSON: ``parties``,
``trees``, ``depth``, ``bins``, ``key_bits``, ``l2``, ``minimum_rows`` (per leaf) and ``minimum_weight`` (sum of h per leaf).
The last printed line is JSON.
"""

from __future__ import annotations

import json
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
    from fate.ml.ensemble.algo.secureboost.hetero.guest import HeteroSecureBoostGuest
    from fate.ml.ensemble.algo.secureboost.hetero.host import HeteroSecureBoostHost

    class Guest(HeteroSecureBoostGuest):  # type: ignore[misc]
        """Notes when the first tree begins (after the key is made), and when each tree is complete and all scores are updated."""

        def _check_encrypt_kit(self, ctx: Context) -> Any:
            kit = super()._check_encrypt_kit(ctx)
            moments.append(time.monotonic())
            return kit

        def _update_feature_importance(self, importance: Any) -> None:
            super()._update_feature_importance(importance)
            moments.append(time.monotonic())

    moments: list[float] = []
    members = [("guest" if party == "guest" else "host", party) for party in setting["parties"]]
    me = members[setting["parties"].index(name)]
    computing = CSession(session_id=f"trees_{name}", data_dir=str(folder / "work"))
    federation = FederationBuilder(federation_session_id="trees", party=me, parties=members).build_standalone(computing)
    context = Context(computing=computing, federation=federation)
    try:
        frame = pd.read_csv(folder / f"{name}.csv", dtype={"id": str})
        frame["match"] = frame["id"]
        label = {"label_name": "y"} if name == "guest" else {}
        reader = PandasReader(sample_id_name="id", match_id_name="match", dtype="float32", **label)
        rows = reader.to_frame(context, frame)
        shape = {"num_trees": setting["trees"], "max_depth": setting["depth"], "max_bin": setting["bins"]}
        if name == "guest":
            context.cipher.set_phe(context.device, {"kind": "paillier", "key_length": setting["key_bits"]})
            limits = {"min_leaf_node": setting["minimum_rows"], "min_child_weight": setting["minimum_weight"]}
            guest = Guest(**shape, objective="binary:bce", l2=setting["l2"], min_impurity_split=0, **limits)
            guest.fit(context, rows)
            seconds = (moments[-1] - moments[0]) / setting["trees"]
            leaves = [sum(node.is_leaf for node in tree.get_nodes()) for tree in guest._trees]
            results.put({"seconds_per_tree": seconds, "leaves": leaves, "key_bits": guest._encrypt_kit.key_size})
        else:
            HeteroSecureBoostHost(**shape).fit(context, rows)
    finally:
        context.destroy()


if __name__ == "__main__":
    print(json.dumps(run(party)))
